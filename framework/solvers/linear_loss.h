#pragma once

#include <levin/framework/tensor/tensor.h>

namespace levin {

/// The loss of a module whose outputs are linear in its parameters: what solvers need to know to
/// compute it, its gradient and its curvature in closed form. For rows x_i with targets y_i and
/// weights s_i, of sum S, it is
///
///     (1 / S) sum_i s_i loss(weight . x_i + bias, y_i)
///       + l1_strength * sum |weight| + l2_strength * sum weight^2
///
/// A module declares it by `Module::linear_loss`.
struct LinearLoss {
  /// squared: |z - y|^2, the mean over the outputs. logistic: the cross-entropy of the sigmoid of
  /// the one output, for targets 0 and 1. softmax: the cross-entropy of the softmax of the outputs,
  /// for targets that are numbers of classes. one_vs_rest: for the same targets, the sum over the
  /// outputs of the cross-entropies of their sigmoids, of which that of output k should be 1 for
  /// rows of class k and 0 for all others: so many logistic regressions that share nothing.
  enum class Kind { squared, logistic, softmax, one_vs_rest };

  Kind kind = Kind::softmax;
  /// [outputs, features], float32 or float64.
  torch::Tensor weight{};
  /// [outputs], or undefined.
  torch::Tensor bias{};
  double l1_strength = 0.0;
  double l2_strength = 0.0;
  /// [classes]: s_i is multiplied by the weight of the row's class. Undefined: by 1. Or, for
  /// one_vs_rest alone, [classes, outputs]: what each row of a class counts for each output, so
  /// that all rows together count S for each of them.
  torch::Tensor class_weight{};
  /// The mean of all s_i, as far as it is known: steps by some of the rows divide by it, so that
  /// their mean is the loss above.
  double mean_weight = 1.0;
};

}  // namespace levin
