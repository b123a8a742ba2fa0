#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/solvers/objective.h>
#include <levin/framework/solvers/regularization_path.h>
#include <levin/framework/solvers/solver.h>

namespace levin {

/// Returns the fold of each row, [rows] int64, such that each fold has the classes in the shares
/// that all rows have them. `labels`: [rows] int64. Without a seed, the rows of a class are dealt
/// out in their order, as scikit-learn's StratifiedKFold does; with one, in a random order. Throws
/// ConfigError if a class has fewer rows than there are folds.
torch::Tensor stratified_folds(const torch::Tensor& labels, int64_t folds,
                               std::optional<int64_t> seed = {});

/// What CrossValidation chooses among, and where it writes what it finds.
struct CrossValidationPlan {
  /// The loss, whose parameters are set to those of the refit in the end.
  LinearLoss loss{};
  std::vector<double> Cs{};
  PathOptions path{};
  int64_t folds = 5;
  /// [rows]: the fold of each training row, in their order.
  torch::Tensor fold_of{};
  /// "accuracy", or "neg_log_loss", the mean logarithm of the probability of the rows' classes.
  std::string scoring = "accuracy";
  /// [folds, Cs] float64: the scores of each fold's rows by the model of all others' rows.
  torch::Tensor scores{};
  /// [1] float64: the C of the highest mean score over the folds; the first if there are several.
  torch::Tensor chosen{};
};

/// What CrossValidation minimises: first the objectives of the folds, then that of all rows.
class CrossValidationObjective final : public Objective {
 public:
  /// Keeps a reference to `rows`.
  CrossValidationObjective(RowSource& rows, CrossValidationPlan plan,
                           const std::vector<torch::Tensor>& parameters);
  ~CrossValidationObjective() override;

  /// The objective of all rows with the chosen C, or the first one as long as none is.
  int64_t size() const override;
  torch::Tensor l1() const override;
  double evaluate(const torch::Tensor& point, const torch::Tensor& gradient) override;
  torch::Tensor hessian_product(const torch::Tensor& vector) override;

  /// Trains on the rows of all folds but one for each C, and writes the scores of its rows.
  void score_fold(int64_t fold);
  /// Chooses C and trains on all rows with it.
  PathPoint choose_and_refit();
  const CrossValidationPlan& plan() const { return plan_; }

 private:
  class FoldRows;
  void set_strengths();
  double score_of(const PathPoint& point, int64_t fold);
  LinearLoss start() const;

  RowSource& rows_;
  CrossValidationPlan plan_;
  std::vector<torch::Tensor> parameters_;
  std::unique_ptr<Objective> all_rows_;
};

/// Chooses C by cross-validation, and trains on all rows with the C that is chosen. An iteration
/// trains a whole path of values of C on the rows of all folds but one; the one after the last fold
/// trains on all rows. It is not in the list of solvers, because it needs a
/// CrossValidationObjective: see LogisticRegressionCV.
class CrossValidation final : public Solver {
 public:
  /// `folds`: those of the plan. Minimises over `parameters`.
  CrossValidation(std::vector<torch::Tensor> parameters, double tol, int64_t folds)
      : Solver(std::move(parameters), {.tol = tol, .max_iter = folds + 1}), folds_(folds) {}
  std::string name() const override { return "cross-validation"; }

 protected:
  void check(Objective& objective) override;
  bool takes_l1() const override { return true; }
  bool is_complete() const override { return iterations() > folds_; }
  bool advance(Objective& objective) override;
  void save(StateDict& state) const override;
  void load(const StateDict& state) override;

 private:
  int64_t folds_;
  torch::Tensor scores_;  // those of the plan, or what was loaded
};

}  // namespace levin
