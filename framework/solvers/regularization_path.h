#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <levin/framework/solvers/linear_loss.h>
#include <levin/framework/solvers/row_source.h>

namespace levin {

/// How the points of a path are found.
struct PathOptions {
  /// The share of the L1 penalty, from 0 to 1.
  double l1_ratio = 0.0;
  /// See SolverOptions; for each point.
  double tol = 1e-4;
  int64_t max_iter = 1000;
  /// The name of a solver, or "auto": see `automatic_solver`.
  std::string solver = "auto";
};

/// The optimum for one strength of the penalties.
struct PathPoint {
  double C = 0.0;
  /// float64, in the shapes of the loss's; the bias is undefined if the loss has none.
  torch::Tensor weight;
  torch::Tensor bias;
  double objective = 0.0;
  double gradient_norm = 0.0;
  int64_t iterations = 0;
  bool has_converged = false;
};

/// Minimises a linear loss over all rows for one value of C after the other, each time starting
/// from the last optimum, which is close if the values rise or fall steadily. The first starts from
/// the weight and bias of `loss`, which aren't changed and whose strengths don't count. C and
/// l1_ratio are scikit-learn's: with S the sum of the rows' weights,
///
///     l1_strength = l1_ratio / (C S)        l2_strength = (1 - l1_ratio) / (2 C S)
///
///     const auto path = regularization_path(rows, loss, log_spaced(1e-4, 1e4, 10));
///
/// Throws ConfigError for options that are out of range, and what the solver throws. A collective.
std::vector<PathPoint> regularization_path(RowSource& rows, const LinearLoss& loss,
                                           std::span<const double> Cs, const PathOptions& options);

/// A point of the path, from the weight and bias of `from` on; `total_weight` is S.
PathPoint find_path_point(RowSource& rows, const LinearLoss& from, double C,
                          const PathOptions& options, double total_weight);

/// The loss with the strengths above; `total_weight` is S.
LinearLoss with_strengths_of_c(LinearLoss loss, double C, double l1_ratio, double total_weight);
/// S. A pass over the rows, and a collective.
double sum_of_weights(RowSource& rows);

/// `count` numbers from `first` to `last`, at the same ratio each.
std::vector<double> log_spaced(double first, double last, int64_t count);

}  // namespace levin
