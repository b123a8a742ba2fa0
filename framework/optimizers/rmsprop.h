#pragma once

#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/optimizers/per_parameter.h>

namespace levin {

struct RMSpropOptions {
  double learning_rate = 1e-2;
  /// Decay rate of the running mean of the squared gradient.
  double alpha = 0.99;
  /// Added to the denominator.
  double eps = 1e-8;
  /// Adds `weight_decay * parameter` to the gradient.
  double weight_decay = 0.0;
  double momentum = 0.0;
  /// Divides by the estimated standard deviation instead of the root of the mean square.
  bool centered = false;
  /// Goes up the gradient instead of down.
  bool maximize = false;
};

Fields describe(RMSpropOptions& options);
/// Throws ConfigError for the first option that can't be.
void validate(const RMSpropOptions& options);

/// RMSprop. State: `square_avg`, with momentum `momentum_buffer`, centered `grad_avg`. A set
/// found_inf is read by the host. PyTorch: torch.optim.RMSprop; Graves 2013,
/// doi:10.48550/arXiv.1308.0850.
class RMSprop : public PerParameterOptimizer {
 public:
  using Options = RMSpropOptions;
  explicit RMSprop(std::vector<torch::Tensor> parameters, RMSpropOptions options = {});
  explicit RMSprop(std::vector<ParameterGroup> groups, RMSpropOptions options = {});
  std::string name() const override { return "RMSprop"; }

 protected:
  void plain(const Lists& lists) override;

 private:
  static std::vector<StateKind> state_kinds(const RMSpropOptions& options);

  RMSpropOptions options_;
};

}  // namespace levin
