#pragma once

#include <span>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/optimizers/has_momentum.h>
#include <levin/framework/optimizers/per_parameter.h>

namespace levin {

/// Options of Adam; PyTorch has the same names, except `lr` for `learning_rate`.
struct AdamOptions {
  /// The step size, at least 0. Schedulers start from it, and a parameter group may have its own.
  double learning_rate = 1e-3;
  /// The decay rates of the running means of the gradient and of its square: two numbers in [0, 1).
  std::vector<double> betas = {0.9, 0.999};
  /// Added to the denominator to keep it above 0; must not be negative.
  double eps = 1e-8;
  /// Adds `weight_decay * parameter` to the gradient (an L2 penalty), at least 0. A parameter group
  /// may have its own.
  double weight_decay = 0.0;
  /// Whether to divide by the largest mean square so far instead of the present one. It takes one
  /// more tensor of the parameters' size. doi:10.48550/arXiv.1904.09237
  bool amsgrad = false;
  /// Whether to move the parameters up the gradient instead of down, to maximise the objective.
  bool maximize = false;
};

/// Describes the options for YAML files, `--help` and error messages. The fields point into
/// `options`, which must outlive them.
Fields describe(AdamOptions& options);
/// Throws ConfigError, naming the option, if a value is out of range. The constructors call it.
void validate(const AdamOptions& options);

/// Adam: moves each entry by the running mean m of its gradient over the root of the running mean v
/// of its gradient's square, both corrected for their start at 0:
///
///     parameter -= learning_rate * m / (sqrt(v) + eps)
///
///     levin::Adam optimizer(model.parameters(), {.learning_rate = 1e-3, .betas = {0.9, 0.99}});
///
/// The state is two tensors of the parameter's size, `exp_avg` (m) and `exp_avg_sq` (v), with
/// amsgrad a third, `max_exp_avg_sq`, and the count `step`. Sparse gradients aren't supported.
/// Ranks may share its parameters (see `Optimizer::shard`). PyTorch: torch.optim.Adam;
/// doi:10.48550/arXiv.1412.6980.
class Adam : public PerParameterOptimizer, public HasMomentum {
 public:
  using Options = AdamOptions;
  /// Optimizes `parameters`, all with the options' learning rate and weight decay. Throws
  /// ConfigError for an option out of range, for an empty list, and for a parameter that is listed
  /// twice, isn't a leaf or isn't of a floating-point or complex type.
  explicit Adam(std::vector<torch::Tensor> parameters, AdamOptions options = {});
  /// The same for parameter groups. A group that leaves out its learning rate or weight decay gets
  /// the options' value.
  explicit Adam(std::vector<ParameterGroup> groups, AdamOptions options = {});
  std::string name() const override { return "Adam"; }
  std::optional<double> momentum(size_t /*group*/) const override { return options_.betas.at(0); }

 protected:
  /// For AdamW, whose decoupled weight decay shrinks the parameters instead of changing the
  /// gradient.
  Adam(std::vector<ParameterGroup> groups, AdamOptions options, bool decoupled_weight_decay);
  bool has_host_kernel() const override { return !options_.amsgrad; }
  void step_on_host(std::span<const HostParameter> parameters) const override;
  void fused(const Lists& lists) override;
  bool fused_with_count(const Lists& lists) override;
  void plain(const Lists& lists) override;

 private:
  AdamOptions options_;
  bool decoupled_weight_decay_;
};

}  // namespace levin
