#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/solvers/regularization_path.h>
#include <levin/framework/solvers/solver.h>
#include <levin/framework/solvers/whole_objective.h>

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
  /// The shares of the L1 penalty, each of which is tried with each C; that of `path` doesn't
  /// count.
  std::vector<double> l1_ratios{0.0};
  PathOptions path{};
  int64_t folds = 5;
  /// See `stratified_folds`: the folds are those of the rows of all ranks.
  std::optional<int64_t> fold_seed{};
  /// "accuracy", or "neg_log_loss", the mean logarithm of the probability of the rows' classes.
  std::string scoring = "accuracy";
  /// [folds, l1_ratios * Cs] float64: the scores of each fold's rows by the model of all others'
  /// rows, those of the first l1_ratio first.
  torch::Tensor scores{};
  /// [2] float64: the C and the l1_ratio of the highest mean score over the folds, the first if
  /// there are several; 0 before.
  torch::Tensor chosen{};
};

/// What CrossValidation minimises: first the objectives of the folds, then that of all rows with
/// the penalty that was chosen, whose value and gradient it has from the start.
class FoldObjective : public WholeObjective {
 public:
  /// Trains on the rows of all folds but one for each penalty, and writes the scores of its rows.
  virtual void score_fold(int64_t fold) = 0;
  /// Chooses a penalty and trains on all rows with it.
  virtual PathPoint choose_and_refit() = 0;
  /// The loss with the parameters that are trained, and the scores of all folds so far.
  virtual const LinearLoss& loss() const = 0;
  virtual const torch::Tensor& scores() const = 0;

 protected:
  using WholeObjective::WholeObjective;
};

/// The folds of a classification. Before a C is chosen, the objective of all rows is that of the
/// first. Ranks that share the rows have the folds of one process, because rows are dealt out to
/// the folds by their numbers among all rows.
class CrossValidationObjective final : public FoldObjective {
 public:
  /// Keeps a reference to `rows`. Throws what `stratified_folds` throws. A collective.
  CrossValidationObjective(RowSource& rows, CrossValidationPlan plan,
                           const std::vector<torch::Tensor>& parameters);

  void score_fold(int64_t fold) override;
  PathPoint choose_and_refit() override;
  const LinearLoss& loss() const override { return plan_.loss; }
  const torch::Tensor& scores() const override { return plan_.scores; }

 private:
  class FoldRows;
  void set_strengths();
  PathOptions path_of(double l1_ratio) const;
  double score_of(const PathPoint& point, int64_t fold);
  LinearLoss start() const;

  CrossValidationPlan plan_;
  torch::Tensor fold_of_;  // [rows of this rank]
};

/// Chooses a penalty by cross-validation, and trains on all rows with the one that is chosen. An
/// iteration trains a whole path of penalties on the rows of all folds but one; the one after the
/// last fold trains on all rows. It is not in the list of solvers, because it needs a
/// FoldObjective: see LogisticRegressionCV and LinearRegressionCV.
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
