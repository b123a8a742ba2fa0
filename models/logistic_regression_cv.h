#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/solvers/cross_validation.h>
#include <levin/framework/solvers/objective_source.h>
#include <levin/models/logistic_regression.h>

namespace levin {

/// The options have the names that scikit-learn gives them, as far as it has them.
struct LogisticRegressionCVOptions {
  /// See LogisticRegressionOptions.
  int64_t in_features = 0;
  int64_t num_classes = 0;
  bool bias = true;
  std::string loss = "auto";
  NumbersOrName class_weight{};
  /// The values of C that are tried, in this order; it is best if they rise. Empty: `num_Cs`, from
  /// 1e-4 to 1e4 at the same ratio each.
  std::vector<double> Cs{};
  int64_t num_Cs = 10;
  double l1_ratio = 0.0;
  /// Several shares of the L1 penalty, each from 0 to 1, which are tried with each C, instead of
  /// l1_ratio.
  std::vector<double> l1_ratios{};
  /// The number of folds, at least 2: each in turn is left out of the training to score by it.
  int64_t cv = 5;
  /// Deals out the rows to the folds in an order that follows from this number. null: in their own
  /// order, as scikit-learn does.
  std::optional<int64_t> fold_seed{};
  /// What is highest for the chosen C: "accuracy", or "neg_log_loss".
  std::string scoring = "accuracy";
  /// The name of a solver, or "auto": see PathOptions.
  std::string solver = "auto";
  double tol = 1e-4;
  int64_t max_iter = 1000;
};

Fields describe(LogisticRegressionCVOptions& options);

/// A LogisticRegression that chooses the strength of its penalty itself, by cross-validation with
/// stratified folds: it trains with each C on the rows of all folds but one, takes the C whose
/// score is best in the mean over the folds that were left out, and trains on all rows with it.
///
///     levin::LogisticRegressionCV model({.Cs = {0.01, 0.1, 1.0}, .scoring = "neg_log_loss"});
///     trainer.fit(model, data);      // an epoch for each fold, and one for the last training
///     model.C();
///
/// For each fold, the values of C follow each other with warm starts. The training rows may be
/// streamed and shared by ranks, if the solver takes them; the folds are the same for any number of
/// ranks. Checkpoints have the scores, and the chosen C and l1_ratio, as the buffers "scores" and
/// "chosen"; until the last epoch, the weights are those at the start. scikit-learn:
/// LogisticRegressionCV.
class LogisticRegressionCV : public LogisticRegression, public ObjectiveSource {
 public:
  using Options = LogisticRegressionCVOptions;
  /// Throws ConfigError for options that are out of range.
  explicit LogisticRegressionCV(LogisticRegressionCVOptions options = {},
                                const OptimizerList& optimizers = shipped_optimizers());

  /// The values of C that are tried.
  const std::vector<double>& Cs() const { return options_.Cs; }
  /// The scores of each fold, [folds, Cs] float64; with l1_ratios [folds, l1_ratios * Cs], those of
  /// the first l1_ratio first.
  const torch::Tensor& scores() const { return scores_; }
  /// The chosen C and l1_ratio; nothing before the end of a fit.
  std::optional<double> C() const;
  std::optional<double> l1_ratio() const;

  void prepare(const TrainingSet& train) override;
  std::unique_ptr<Objective> make_objective(
      RowSource& rows, const std::vector<torch::Tensor>& parameters) const override;
  Optimizers configure_optimizers() override;
  Value hyper_parameters() const override;

 private:
  LogisticRegressionCVOptions options_;
  torch::Tensor scores_;
  torch::Tensor chosen_;  // [2]: C, l1_ratio
};

}  // namespace levin
