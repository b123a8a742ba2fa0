#pragma once

#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/optimizers/per_parameter.h>

namespace levin {

struct AdamOptions {
  double learning_rate = 1e-3;
  /// Decay rates of the running means of the gradient and of its square.
  std::vector<double> betas = {0.9, 0.999};
  /// Added to the denominator.
  double eps = 1e-8;
  /// Adds `weight_decay * parameter` to the gradient.
  double weight_decay = 0.0;
  /// Divides by the largest mean square so far. doi:10.48550/arXiv.1904.09237
  bool amsgrad = false;
  /// Goes up the gradient instead of down.
  bool maximize = false;
};

Fields describe(AdamOptions& options);
/// Throws ConfigError for the first option that can't be.
void validate(const AdamOptions& options);

/// Adam. State: `exp_avg`, `exp_avg_sq`, with amsgrad `max_exp_avg_sq`, and `step`.
/// PyTorch: torch.optim.Adam; doi:10.48550/arXiv.1412.6980.
class Adam : public PerParameterOptimizer {
 public:
  using Options = AdamOptions;
  explicit Adam(std::vector<torch::Tensor> parameters, AdamOptions options = {});
  explicit Adam(std::vector<ParameterGroup> groups, AdamOptions options = {});
  std::string name() const override { return "Adam"; }

 protected:
  /// Decoupled weight decay shrinks the parameters instead of changing the gradient.
  Adam(std::vector<ParameterGroup> groups, AdamOptions options, bool decoupled_weight_decay);
  void fused(const Lists& lists) override;
  void plain(const Lists& lists) override;

 private:
  AdamOptions options_;
  bool decoupled_weight_decay_;
};

}  // namespace levin
