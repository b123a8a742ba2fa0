#pragma once

#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/optimizers/per_parameter.h>

namespace levin {

struct AdamOptions {
  /// The step size.
  double learning_rate = 1e-3;
  /// The decay rates of the running means of the gradient and of its square, each in [0, 1).
  std::vector<double> betas = {0.9, 0.999};
  /// Added to the denominator, so that it is never 0.
  double eps = 1e-8;
  /// Adds `weight_decay * parameter` to the gradient.
  double weight_decay = 0.0;
  /// Divides by the largest mean square so far instead of the present one.
  /// doi:10.48550/arXiv.1904.09237
  bool amsgrad = false;
  /// Moves the parameters up the gradient instead of down.
  bool maximize = false;
};

Fields describe(AdamOptions& options);
/// Throws ConfigError, naming the option, if a value is out of range.
void validate(const AdamOptions& options);

/// Adam: moves each entry by the running mean m of its gradient over the root of the running mean v
/// of its gradient's square, both corrected for their start at 0:
///
///     parameter -= learning_rate * m / (sqrt(v) + eps)
///
/// State: `exp_avg` (m), `exp_avg_sq` (v), with amsgrad `max_exp_avg_sq`, and `step`.
/// PyTorch: torch.optim.Adam; doi:10.48550/arXiv.1412.6980.
class Adam : public PerParameterOptimizer {
 public:
  using Options = AdamOptions;
  explicit Adam(std::vector<torch::Tensor> parameters, AdamOptions options = {});
  explicit Adam(std::vector<ParameterGroup> groups, AdamOptions options = {});
  std::string name() const override { return "Adam"; }

 protected:
  /// For AdamW, whose decoupled weight decay shrinks the parameters instead of changing the
  /// gradient.
  Adam(std::vector<ParameterGroup> groups, AdamOptions options, bool decoupled_weight_decay);
  void fused(const Lists& lists) override;
  void plain(const Lists& lists) override;

 private:
  AdamOptions options_;
  bool decoupled_weight_decay_;
};

}  // namespace levin
