#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <levin/framework/solvers/cross_validation.h>
#include <levin/framework/solvers/fold_moments.h>

namespace levin {

/// What cross-validation of least squares chooses among, and where it writes what it finds. The
/// strengths are scikit-learn's alpha, with S the sum of the weights of the rows that are trained
/// on:
///
///     is_ridge:  sum s_i (y_i - w . x_i - b)^2 + alpha sum w^2
///     else:      sum s_i (y_i - w . x_i - b)^2 / (2 S)
///                  + alpha (l1_ratio sum |w| + (1 - l1_ratio) / 2 sum w^2)
struct RegressionCVPlan {
  /// The squared loss of one output, whose parameters are set to those of the refit in the end.
  LinearLoss loss{};
  bool is_ridge = false;
  /// Each above 0 and at most 1; of no meaning for ridge, but there is one then.
  std::vector<double> l1_ratios{1.0};
  /// The strengths, falling. Empty: for each l1_ratio `num_alphas`, from the least that makes all
  /// weights 0 down to `eps` times that, at the same ratio each.
  std::vector<double> alphas{};
  int64_t num_alphas = 100;
  double eps = 1e-3;
  /// At least 2; or 0, for ridge, which leaves out each row once.
  int64_t folds = 5;
  /// See `row_folds`.
  std::optional<int64_t> fold_seed{};
  /// [l1_ratios, alphas] float64: the strengths that are tried.
  torch::Tensor tried{};
  /// [l1_ratios, alphas, folds or 1] float64: the mean squared errors of each fold's rows by the
  /// model of all others'.
  torch::Tensor errors{};
  /// [2] float64: the alpha and the l1_ratio of the least mean error over the folds, the first if
  /// there are several.
  torch::Tensor chosen{};
};

/// The folds of a least-squares regression, for up to 2,000 features: two passes over the rows find
/// the moments of all folds, and everything else follows from these. Leaving out single rows takes
/// one more pass.
class RegressionCVObjective final : public FoldObjective {
 public:
  /// Keeps a reference to `rows`. Throws ConfigError for too many features. A collective.
  RegressionCVObjective(RowSource& rows, RegressionCVPlan plan,
                        const std::vector<torch::Tensor>& parameters);

  void score_fold(int64_t fold) override;
  PathPoint choose_and_refit() override;
  const LinearLoss& loss() const override { return plan_.loss; }
  const torch::Tensor& scores() const override { return plan_.errors; }

 private:
  struct Strengths {
    double l1;
    double l2;
  };
  Strengths strengths(double alpha, double l1_ratio, double total) const;
  LinearLoss loss_with(double alpha, double l1_ratio) const;
  void set_alphas();
  torch::Tensor path(const Moments& moments, int64_t ratio) const;
  void score_rows();
  double bias_of(const Moments& moments, const torch::Tensor& weight) const;

  RegressionCVPlan plan_;
  int64_t features_;
  std::optional<FoldMoments> moments_;
};

}  // namespace levin
