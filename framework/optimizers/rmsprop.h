#pragma once

#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/optimizers/has_momentum.h>
#include <levin/framework/optimizers/per_parameter.h>

namespace levin {

/// Options of RMSprop; PyTorch has the same names, except `lr` for `learning_rate`.
struct RMSpropOptions {
  /// The step size, at least 0. Schedulers start from it, and a parameter group may have its own.
  double learning_rate = 1e-2;
  /// The decay rate of the running mean of the squared gradient, usually in [0, 1); only a negative
  /// one is refused.
  double alpha = 0.99;
  /// Added to the denominator to keep it above 0; must not be negative.
  double eps = 1e-8;
  /// Adds `weight_decay * parameter` to the gradient (an L2 penalty), at least 0. A parameter group
  /// may have its own.
  double weight_decay = 0.0;
  /// The share of the last step's direction that is kept, at least 0.
  double momentum = 0.0;
  /// Whether to divide by the estimated standard deviation of the gradient instead of the root of
  /// its mean square.
  bool centered = false;
  /// Whether to move the parameters up the gradient instead of down, to maximise the objective.
  bool maximize = false;
};

/// Describes the options for YAML files, `--help` and error messages. The fields point into
/// `options`, which must outlive them.
Fields describe(RMSpropOptions& options);
/// Throws ConfigError, naming the option, if a value is out of range. The constructors call it.
void validate(const RMSpropOptions& options);

/// RMSprop: divides each entry's gradient by the root of a running mean of its squares:
///
///     v = alpha * v + (1 - alpha) * gradient^2
///     parameter -= learning_rate * gradient / (sqrt(v) + eps)
///
/// It has no fused kernel: a step makes temporary tensors of the parameters' size, and waits for
/// the device to read found_inf if that is set. Sparse gradients aren't supported. The state is
/// `square_avg` (v), with momentum `momentum_buffer`, and if centered `grad_avg`, each of the
/// parameter's size. Ranks may share its parameters (see `Optimizer::shard`). PyTorch:
/// torch.optim.RMSprop; Graves 2013, doi:10.48550/arXiv.1308.0850.
class RMSprop : public PerParameterOptimizer, public HasMomentum {
 public:
  using Options = RMSpropOptions;
  /// Optimizes `parameters`, all with the options' learning rate and weight decay. Throws
  /// ConfigError for an option out of range, for an empty list, and for a parameter that is listed
  /// twice, isn't a leaf or isn't of a floating-point or complex type.
  explicit RMSprop(std::vector<torch::Tensor> parameters, RMSpropOptions options = {});
  /// The same for parameter groups. A group that leaves out its learning rate or weight decay gets
  /// the options' value.
  explicit RMSprop(std::vector<ParameterGroup> groups, RMSpropOptions options = {});
  std::string name() const override { return "RMSprop"; }
  std::optional<double> momentum(size_t /*group*/) const override { return options_.momentum; }

 protected:
  void plain(const Lists& lists) override;

 private:
  /// The state tensors that these options need: `square_avg`, then the optional ones.
  static std::vector<StateKind> state_kinds(const RMSpropOptions& options);

  RMSpropOptions options_;
};

}  // namespace levin
