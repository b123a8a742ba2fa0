#pragma once

#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/optimizers/per_parameter.h>

namespace levin {

struct SGDOptions {
  /// The step size.
  double learning_rate = 1e-3;
  /// The share of the last step's direction that is kept. 0: plain gradient descent.
  double momentum = 0.0;
  /// The share of the gradient that doesn't enter the momentum, from the second step on.
  double dampening = 0.0;
  /// Adds `weight_decay * parameter` to the gradient.
  double weight_decay = 0.0;
  /// Nesterov's momentum, which looks one step ahead. Needs momentum, and no dampening.
  bool nesterov = false;
  /// Moves the parameters up the gradient instead of down.
  bool maximize = false;
};

Fields describe(SGDOptions& options);
/// Throws ConfigError, naming the option, if a value is out of range.
void validate(const SGDOptions& options);

/// Stochastic gradient descent, with momentum v if it is given:
///
///     v = momentum * v + (1 - dampening) * gradient,    parameter -= learning_rate * v
///
/// Sparse gradients work without momentum and weight decay. State: `momentum_buffer`, with
/// momentum. PyTorch: torch.optim.SGD; doi:10.5555/3042817.3043064.
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
