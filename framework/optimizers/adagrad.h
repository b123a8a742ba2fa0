#pragma once

#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/optimizers/per_parameter.h>

namespace levin {

/// Options of Adagrad; PyTorch has the same names, except `lr` for `learning_rate`.
struct AdagradOptions {
  /// The step size, at least 0. Schedulers start from it, and a parameter group may have its own.
  double learning_rate = 1e-2;
  /// The learning rate of a parameter's step k (from 0) is `learning_rate / (1 + k * lr_decay)`; at
  /// least 0.
  double lr_decay = 0.0;
  /// Adds `weight_decay * parameter` to the gradient (an L2 penalty), at least 0. A parameter group
  /// may have its own.
  double weight_decay = 0.0;
  /// The value that the sums of squares start with, at least 0. A larger one makes the first steps
  /// shorter.
  double initial_accumulator_value = 0.0;
  /// Added to the denominator to keep it above 0; must not be negative.
  double eps = 1e-10;
  /// Whether to move the parameters up the gradient instead of down, to maximise the objective.
  bool maximize = false;
};

/// Describes the options for YAML files, `--help` and error messages. The fields point into
/// `options`, which must outlive them.
Fields describe(AdagradOptions& options);
/// Throws ConfigError, naming the option, if a value is out of range. The constructors call it.
void validate(const AdagradOptions& options);

/// Adagrad: divides each entry's gradient by the root of the sum of its squares so far, so that
/// rare features keep large steps:
///
///     sum += gradient^2,    parameter -= rate * gradient / (sqrt(sum) + eps)
///
/// Sparse gradients work without weight decay; a step then costs time for their non-zeros only. The
/// state is one tensor of the parameter's size, `sum`, and the count `step`. Ranks may share its
/// parameters (see `Optimizer::shard`). PyTorch: torch.optim.Adagrad; Duchi et al. 2011, JMLR 12,
/// 2121.
class Adagrad : public PerParameterOptimizer {
 public:
  using Options = AdagradOptions;
  /// Optimizes `parameters`, all with the options' learning rate and weight decay. Throws
  /// ConfigError for an option out of range, for an empty list, and for a parameter that is listed
  /// twice, isn't a leaf or isn't of a floating-point or complex type.
  explicit Adagrad(std::vector<torch::Tensor> parameters, AdagradOptions options = {});
  /// The same for parameter groups. A group that leaves out its learning rate or weight decay gets
  /// the options' value.
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
