#pragma once

#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/optimizers/per_parameter.h>

namespace levin {

struct AdagradOptions {
  double learning_rate = 1e-2;
  /// The rate of step k (from 0) is `learning_rate / (1 + k * lr_decay)`.
  double lr_decay = 0.0;
  /// Adds `weight_decay * parameter` to the gradient.
  double weight_decay = 0.0;
  /// What the sum of squares starts with.
  double initial_accumulator_value = 0.0;
  /// Added to the denominator.
  double eps = 1e-10;
  /// Goes up the gradient instead of down.
  bool maximize = false;
};

Fields describe(AdagradOptions& options);
/// Throws ConfigError for the first option that can't be.
void validate(const AdagradOptions& options);

/// Adagrad. Takes sparse gradients without weight decay, at a cost ~ their non-zeros. State: `sum`
/// and `step`. PyTorch: torch.optim.Adagrad; Duchi et al. 2011, JMLR 12, 2121.
class Adagrad : public PerParameterOptimizer {
 public:
  using Options = AdagradOptions;
  explicit Adagrad(std::vector<torch::Tensor> parameters, AdagradOptions options = {});
  explicit Adagrad(std::vector<ParameterGroup> groups, AdagradOptions options = {});
  std::string name() const override { return "Adagrad"; }

 protected:
  void fused(const Lists& lists) override;
  void plain(const Lists& lists) override;
  bool takes_sparse(const ParameterGroup& group) const override;

 private:
  AdagradOptions options_;
};

}  // namespace levin
