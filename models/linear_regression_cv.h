#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/solvers/objective_source.h>
#include <levin/framework/solvers/regression_cv.h>
#include <levin/models/linear_regression.h>

namespace levin {

/// The options have the names that scikit-learn gives them, as far as it has them.
struct LinearRegressionCVOptions {
  /// The number of features of a row, up to 2,000; inputs of more dimensions are flattened to that.
  /// 0: that of the training data.
  int64_t in_features = 0;
  bool bias = true;
  /// Which of scikit-learn's models it is: "lasso" (LassoCV), "elastic-net" (ElasticNetCV) or
  /// "ridge" (RidgeCV). It also says what an alpha means: see RegressionCVPlan.
  std::string penalty = "lasso";
  /// The shares of the L1 penalty that an elastic net tries, each above 0 and at most 1. Empty:
  /// 0.5.
  std::vector<double> l1_ratios{};
  /// The strengths that are tried. Empty: for ridge 0.1, 1 and 10; else `num_alphas` from the least
  /// that makes all weights 0 down to `eps` times that, at the same ratio each.
  std::vector<double> alphas{};
  int64_t num_alphas = 100;
  double eps = 1e-3;
  /// The number of folds, at least 2: each in turn is left out of the training to score by it.
  /// Consecutive rows are in a fold together, as in scikit-learn's KFold. 0, for ridge: each row is
  /// left out once, as RidgeCV does by default, which takes one pass.
  int64_t cv = 5;
  /// Deals out the rows to the folds in an order that follows from this number. null: in their own
  /// order.
  std::optional<int64_t> fold_seed{};
  /// The fit has converged if no entry of the gradient is larger in the end. The weights are found
  /// to working precision in any case.
  double tol = 1e-4;
};

Fields describe(LinearRegressionCVOptions& options);

/// A LinearRegression of one value that chooses the strength of its penalty itself, by
/// cross-validation: it trains with each strength on the rows of all folds but one, takes the one
/// whose mean squared error is least in the mean over the folds that were left out, and trains on
/// all rows with it.
///
///     levin::LinearRegressionCV lasso;
///     trainer.fit(lasso, data);      // an epoch for each fold, and one for the last training
///     lasso.alpha();
///
/// Two passes over the rows, which may be streamed and shared by ranks, find what all folds and
/// strengths need. The folds are the same for any number of ranks. Checkpoints have the strengths,
/// the errors and the choice, as the buffers "alphas", "mse_path" and "chosen"; until the last
/// epoch, the weights are those at the start. scikit-learn: LassoCV, ElasticNetCV, RidgeCV (the
/// latter with scoring="neg_mean_squared_error" if it has folds).
class LinearRegressionCV : public LinearRegression, public ObjectiveSource {
 public:
  using Options = LinearRegressionCVOptions;
  /// Throws ConfigError for options that are out of range or exclude each other.
  explicit LinearRegressionCV(LinearRegressionCVOptions options = {},
                              const OptimizerList& optimizers = shipped_optimizers());

  /// The strengths that are tried, falling: [l1_ratios, alphas] float64; 0 before a fit.
  const torch::Tensor& alphas() const { return alphas_; }
  /// The mean squared error of each fold, [l1_ratios, alphas, folds] float64.
  const torch::Tensor& mse_path() const { return mse_path_; }
  /// The chosen strength, and the share of the L1 penalty; nothing before the end of a fit.
  std::optional<double> alpha() const;
  std::optional<double> l1_ratio() const;

  void prepare(const TrainingSet& train) override;
  std::unique_ptr<Objective> make_objective(
      RowSource& rows, const std::vector<torch::Tensor>& parameters) const override;
  Optimizers configure_optimizers() override;
  Value hyper_parameters() const override;

 private:
  LinearRegressionCVOptions options_;
  torch::Tensor alphas_;
  torch::Tensor mse_path_;
  torch::Tensor chosen_;  // [2]: alpha, l1_ratio
};

}  // namespace levin
