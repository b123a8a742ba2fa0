#pragma once

#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/optimizers/per_parameter.h>

namespace levin {

struct RMSpropOptions {
  /// The step size.
  double learning_rate = 1e-2;
  /// The decay rate of the running mean of the squared gradient, in [0, 1).
  double alpha = 0.99;
  /// Added to the denominator, so that it is never 0.
  double eps = 1e-8;
  /// Adds `weight_decay * parameter` to the gradient.
  double weight_decay = 0.0;
  /// The share of the last step's direction that is kept.
  double momentum = 0.0;
  /// Divides by the estimated standard deviation instead of the root of the mean square.
  bool centered = false;
  /// Moves the parameters up the gradient instead of down.
  bool maximize = false;
};

Fields describe(RMSpropOptions& options);
/// Throws ConfigError, naming the option, if a value is out of range.
void validate(const RMSpropOptions& options);

/// RMSprop: divides each entry's gradient by the root of a running mean of its squares.
///
/// It has no fused kernel, so each step waits for the device to read found_inf if that is set.
/// State: `square_avg`, with momentum `momentum_buffer`, and if centered `grad_avg`.
/// PyTorch: torch.optim.RMSprop; Graves 2013, doi:10.48550/arXiv.1308.0850.
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
