#pragma once

#include <string>
#include <vector>

#include <levin/framework/optimizers/adam.h>

namespace levin {

/// Options of AdamW; PyTorch has the same names, except `lr` for `learning_rate`.
struct AdamWOptions {
  /// The step size, at least 0. Schedulers start from it, and a parameter group may have its own.
  double learning_rate = 1e-3;
  /// The decay rates of the running means of the gradient and of its square: two numbers in [0, 1).
  std::vector<double> betas = {0.9, 0.999};
  /// Added to the denominator to keep it above 0; must not be negative.
  double eps = 1e-8;
  /// Each step first multiplies the parameters by `1 - learning_rate * weight_decay`; at least 0. A
  /// parameter group may have its own.
  double weight_decay = 1e-2;
  /// Whether to divide by the largest mean square so far instead of the present one. It takes one
  /// more tensor of the parameters' size. doi:10.48550/arXiv.1904.09237
  bool amsgrad = false;
  /// Whether to move the parameters up the gradient instead of down, to maximise the objective.
  bool maximize = false;
};

/// Describes the options for YAML files, `--help` and error messages. The fields point into
/// `options`, which must outlive them.
Fields describe(AdamWOptions& options);
/// Throws ConfigError, naming the option, if a value is out of range. The constructors call it.
void validate(const AdamWOptions& options);

/// Adam with decoupled weight decay. The decay shrinks the parameters directly; Adam adds it to the
/// gradient, and so divides it by the root of the mean square as well. State and restrictions are
/// those of Adam. Biases and norms are often left without decay:
///
///     levin::AdamW optimizer(
///         {{.parameters = weights}, {.parameters = biases, .weight_decay = 0.0}},
///         {.learning_rate = 1e-3, .weight_decay = 1e-2});
///
/// PyTorch: torch.optim.AdamW; doi:10.48550/arXiv.1711.05101.
class AdamW : public Adam {
 public:
  using Options = AdamWOptions;
  /// Optimizes `parameters`, all with the options' learning rate and weight decay. Throws
  /// ConfigError for an option out of range, for an empty list, and for a parameter that is listed
  /// twice, isn't a leaf or isn't of a floating-point or complex type.
  explicit AdamW(std::vector<torch::Tensor> parameters, AdamWOptions options = {});
  /// The same for parameter groups. A group that leaves out its learning rate or weight decay gets
  /// the options' value.
  explicit AdamW(std::vector<ParameterGroup> groups, AdamWOptions options = {});
  std::string name() const override { return "AdamW"; }
};

}  // namespace levin
