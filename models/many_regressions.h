#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/solvers/many_objective.h>
#include <levin/framework/solvers/objective_source.h>
#include <levin/models/supervised_model.h>

namespace levin {

/// The options of ManyRegressions.
struct ManyRegressionsOptions {
  /// "logistic", for targets 0 and 1, or "squared", for values.
  std::string loss = "logistic";
  /// The number of features of a row; inputs of more dimensions are flattened to that. 0: that of
  /// the training data.
  int64_t in_features = 0;
  /// The number of targets of a row, each of which gets regressions of its own. 0: that of the
  /// training data.
  int64_t target_columns = 0;
  /// The number of groups of rows, each of which gets regressions of its own. Batches then have the
  /// tensor "group" [rows], whole numbers from 0. 0: as many as the data module says that there are
  /// (HasGroups), and none if it says nothing.
  int64_t groups = 0;
  /// The strengths of the L2 penalty, each of which gets a regression of its own: l2_strengths
  /// directly, or by scikit-learn's C, with l2_strength = 1 / (2 C S) for rows of weight S
  /// together. If both are empty, there is one regression without a penalty.
  std::vector<double> l2_strengths{};
  std::vector<double> C{};
  /// The strengths of the L1 penalty that go with l2_strengths, as many of them; if one of the two
  /// lists is empty, its strengths are 0. With C, l1_ratio is the share of the L1 penalty, from 0
  /// to 1: see LogisticRegressionOptions.
  std::vector<double> l1_strengths{};
  double l1_ratio = 0.0;
  bool bias = true;
  /// The solver: "lockstep-newton", or another one that needs only sums over all rows, which
  /// minimises the sum over all regressions ("lbfgs" or, without an L1 penalty, "newton-cg").
  std::string solver = "lockstep-newton";
  double tol = 1e-6;
  int64_t max_iter = 100;
};

Fields describe(ManyRegressionsOptions& options);

/// Thousands of regressions over the same rows, each the same as if it had been trained alone, but
/// with passes over the rows that serve all of them: one for each group of rows, target and
/// strength of the penalties.
///
///     levin::ManyRegressions model({.C = {0.01, 0.1, 1.0, 10.0}});  // y: [rows, targets]
///     trainer.fit(model, data);
///     model.best_strengths();  // for each target, by the last validation
///
/// Regression (g * target_columns + c) * strengths + s, for group g, target c and strength s,
/// minimises the mean loss of the rows of its group, weighted by "weight" if batches have it, plus
/// l1 * sum |w| + l2 * sum w^2. It is row number so-and-so of "weight", [regressions, in_features],
/// and "bias", [regressions], which start at 0. They can only be trained by a solver
/// (docs/solvers.md), each epoch being an iteration of all that haven't converged.
///
/// Validation and test log `val_loss` and `test_loss`, the mean over all regressions of their
/// losses without penalties, and `val_best_loss` and `test_best_loss`, the same with the best
/// strength of each group and target.
class ManyRegressions : public SupervisedModel, public ObjectiveSource {
 public:
  using Options = ManyRegressionsOptions;
  /// Throws ConfigError for options that are out of range or exclude each other.
  explicit ManyRegressions(ManyRegressionsOptions options = {},
                           const OptimizerList& optimizers = shipped_optimizers());

  /// The outputs of the regressions that see a row, w . x + b: [rows, regressions of its group].
  torch::Tensor forward(const Batch& batch) const;
  /// Always throws ModuleError.
  torch::Tensor training_step(const Batch& batch, Step& step) override;
  void validation_step(const Batch& batch, Step& step) override;
  void test_step(const Batch& batch, Step& step) override;
  /// Returns, [rows, regressions of the row's group], "probability" of the target 1 or, for the
  /// squared loss, "value"; and behind it the "group" of each row, if there are groups.
  NamedTensors predict(const Batch& batch) override;

  void on_validation_epoch_start(Run& run) override;
  void on_validation_epoch_end(Run& run) override;
  void on_test_epoch_start(Run& run) override;
  void on_test_epoch_end(Run& run) override;

  /// The mean loss of each regression in the last validation or test, [groups or 1, targets,
  /// strengths] float64, not a number for a group without rows; undefined before.
  const torch::Tensor& losses() const { return losses_; }
  /// The strength, by its number, with the least of these losses: [groups or 1, targets].
  torch::Tensor best_strengths() const;

  std::unique_ptr<Objective> make_objective(
      RowSource& rows, const std::vector<torch::Tensor>& parameters) const override;
  Optimizers configure_optimizers() override;
  void prepare(const TrainingSet& train) override;
  void prepare_like(const Value& settings) override;
  Value hyper_parameters() const override;

 private:
  ManyLosses description() const;
  void make_parameters();
  void find_groups(int64_t in_data);
  bool is_squared() const { return options_.loss == "squared"; }
  torch::Tensor groups_of(const Batch& batch) const;
  void evaluate(const Batch& batch);
  void start_epoch();
  void end_epoch(Run& run, const std::string& stage);

  ManyRegressionsOptions options_;
  ModelSize in_features_;
  ModelSize target_columns_;
  OptimizerList optimizers_;
  torch::Tensor weight_;
  torch::Tensor bias_;
  torch::Tensor sums_;  // [groups or 1, regressions of a group + 1]: losses, and rows
  torch::Tensor losses_;
};

}  // namespace levin
