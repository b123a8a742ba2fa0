#pragma once

#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/optimizers/per_parameter.h>

namespace levin {

struct SGDOptions {
  double learning_rate = 1e-3;
  double momentum = 0.0;
  /// Of the gradient that enters the momentum, from the second step on.
  double dampening = 0.0;
  /// Adds `weight_decay * parameter` to the gradient.
  double weight_decay = 0.0;
  /// Looks ahead along the momentum; needs momentum and no dampening.
  bool nesterov = false;
  /// Goes up the gradient instead of down.
  bool maximize = false;
};

Fields describe(SGDOptions& options);
/// Throws ConfigError for the first option that can't be.
void validate(const SGDOptions& options);

/// Stochastic gradient descent with momentum. Takes sparse gradients without momentum and weight
/// decay. State: `momentum_buffer`. PyTorch: torch.optim.SGD; doi:10.5555/3042817.3043064.
class SGD : public PerParameterOptimizer {
 public:
  using Options = SGDOptions;
  explicit SGD(std::vector<torch::Tensor> parameters, SGDOptions options = {});
  explicit SGD(std::vector<ParameterGroup> groups, SGDOptions options = {});
  std::string name() const override { return "SGD"; }

 protected:
  void fused(const Lists& lists) override;
  void plain(const Lists& lists) override;
  bool takes_sparse(const ParameterGroup& group) const override;

 private:
  SGDOptions options_;
};

}  // namespace levin
