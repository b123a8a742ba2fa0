#pragma once

#include <string>
#include <vector>

#include <levin/framework/optimizers/adam.h>

namespace levin {

struct AdamWOptions {
  /// The step size.
  double learning_rate = 1e-3;
  /// The decay rates of the running means of the gradient and of its square, each in [0, 1).
  std::vector<double> betas = {0.9, 0.999};
  /// Added to the denominator, so that it is never 0.
  double eps = 1e-8;
  /// Each step first multiplies the parameters by `1 - learning_rate * weight_decay`.
  double weight_decay = 1e-2;
  /// Divides by the largest mean square so far instead of the present one.
  /// doi:10.48550/arXiv.1904.09237
  bool amsgrad = false;
  /// Moves the parameters up the gradient instead of down.
  bool maximize = false;
};

Fields describe(AdamWOptions& options);
/// Throws ConfigError, naming the option, if a value is out of range.
void validate(const AdamWOptions& options);

/// Adam with decoupled weight decay: it shrinks the parameters by itself instead of being added to
/// the gradient, where Adam would rescale it. Its state is that of Adam.
/// PyTorch: torch.optim.AdamW; doi:10.48550/arXiv.1711.05101.
class AdamW : public Adam {
 public:
  using Options = AdamWOptions;
  explicit AdamW(std::vector<torch::Tensor> parameters, AdamWOptions options = {});
  explicit AdamW(std::vector<ParameterGroup> groups, AdamWOptions options = {});
  std::string name() const override { return "AdamW"; }
};

}  // namespace levin
