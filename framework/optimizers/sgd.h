#pragma once

#include <span>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/optimizers/has_momentum.h>
#include <levin/framework/optimizers/per_parameter.h>

namespace levin {

/// Options of SGD; PyTorch has the same names, except `lr` for `learning_rate`.
struct SGDOptions {
  /// The step size, at least 0. Schedulers start from it, and a parameter group may have its own.
  double learning_rate = 1e-3;
  /// The share of the last step's direction that is kept, at least 0; 0.9 is usual. With 0, this is
  /// plain gradient descent.
  double momentum = 0.0;
  /// The share of the gradient that doesn't enter the momentum, at most 1. The first step of a
  /// parameter ignores it.
  double dampening = 0.0;
  /// Adds `weight_decay * parameter` to the gradient (an L2 penalty), at least 0. A parameter group
  /// may have its own.
  double weight_decay = 0.0;
  /// Whether to use Nesterov's momentum, which looks one step ahead. It needs a momentum above 0
  /// and a dampening of 0.
  bool nesterov = false;
  /// Whether to move the parameters up the gradient instead of down, to maximise the objective.
  bool maximize = false;
};

/// Describes the options for YAML files, `--help` and error messages. The fields point into
/// `options`, which must outlive them.
Fields describe(SGDOptions& options);
/// Throws ConfigError, naming the option, if a value is out of range. The constructors call it.
void validate(const SGDOptions& options);

/// Stochastic gradient descent, with momentum v if it is given:
///
///     v = momentum * v + (1 - dampening) * gradient,    parameter -= learning_rate * v
///
/// Sparse gradients work without momentum and weight decay. The state is one tensor of the
/// parameter's size with momentum (`momentum_buffer`), and nothing without. Ranks may share its
/// parameters (see `Optimizer::shard`). PyTorch: torch.optim.SGD; doi:10.5555/3042817.3043064.
class SGD : public PerParameterOptimizer, public HasMomentum {
 public:
  using Options = SGDOptions;
  /// Optimizes `parameters`, all with the options' learning rate and weight decay. Throws
  /// ConfigError for an option out of range, for an empty list, and for a parameter that is listed
  /// twice, isn't a leaf or isn't of a floating-point or complex type.
  explicit SGD(std::vector<torch::Tensor> parameters, SGDOptions options = {});
  /// The same for parameter groups. A group that leaves out its learning rate or weight decay gets
  /// the options' value.
  explicit SGD(std::vector<ParameterGroup> groups, SGDOptions options = {});
  std::string name() const override { return "SGD"; }
  std::optional<double> momentum(size_t /*group*/) const override { return options_.momentum; }

 protected:
  bool has_host_kernel() const override { return options_.momentum == 0.0; }
  void step_on_host(std::span<const HostParameter> parameters) const override;
  void fused(const Lists& lists) override;
  bool fused_with_count(const Lists& lists) override;
  void plain(const Lists& lists) override;
  bool takes_sparse(const ParameterGroup& group) const override;

 private:
  SGDOptions options_;
};

}  // namespace levin
