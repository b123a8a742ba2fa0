#pragma once

#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/optimizers/per_parameter.h>

namespace levin {

struct AdagradOptions {
  /// The step size.
  double learning_rate = 1e-2;
  /// The rate of step k (from 0) is `learning_rate / (1 + k * lr_decay)`.
  double lr_decay = 0.0;
  /// Adds `weight_decay * parameter` to the gradient.
  double weight_decay = 0.0;
  /// The value that the sums of squares start with.
  double initial_accumulator_value = 0.0;
  /// Added to the denominator, so that it is never 0.
  double eps = 1e-10;
  /// Moves the parameters up the gradient instead of down.
  bool maximize = false;
};

Fields describe(AdagradOptions& options);
/// Throws ConfigError, naming the option, if a value is out of range.
void validate(const AdagradOptions& options);

/// Adagrad: divides each entry's gradient by the root of the sum of its squares so far, so that
/// rare features keep large steps.
///
/// Sparse gradients work without weight decay; a step then costs time for their non-zeros only.
/// State: `sum` and `step`. PyTorch: torch.optim.Adagrad; Duchi et al. 2011, JMLR 12, 2121.
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
