#pragma once

#include <string>
#include <vector>

#include <levin/framework/optimizers/adam.h>

namespace levin {

struct AdamWOptions {
  double learning_rate = 1e-3;
  /// Decay rates of the running means of the gradient and of its square.
  std::vector<double> betas = {0.9, 0.999};
  /// Added to the denominator.
  double eps = 1e-8;
  /// Each step first multiplies the parameters by `1 - learning_rate * weight_decay`.
  double weight_decay = 1e-2;
  /// Divides by the largest mean square so far. doi:10.48550/arXiv.1904.09237
  bool amsgrad = false;
  /// Goes up the gradient instead of down.
  bool maximize = false;
};

Fields describe(AdamWOptions& options);
/// Throws ConfigError for the first option that can't be.
void validate(const AdamWOptions& options);

/// Adam with decoupled weight decay; state as Adam's.
/// PyTorch: torch.optim.AdamW; doi:10.48550/arXiv.1711.05101.
class AdamW : public Adam {
 public:
  using Options = AdamWOptions;
  explicit AdamW(std::vector<torch::Tensor> parameters, AdamWOptions options = {});
  explicit AdamW(std::vector<ParameterGroup> groups, AdamWOptions options = {});
  std::string name() const override { return "AdamW"; }
};

}  // namespace levin
