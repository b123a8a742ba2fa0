#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include <levin/framework/data/dataloader.h>
#include <levin/framework/loops/loop_parts.h>
#include <levin/framework/loops/training_rows.h>
#include <levin/framework/solvers/solver.h>

namespace levin {

/// The part of a fit that a Solver does: it makes the objective of the module and the training
/// data, and lets the solver iterate, once in each epoch.
///
///     if (const auto fit = make_solver_fit(parts, train, optimizers)) {
///       while (...) fit->iterate(step);
///       fit->warn_unless_converged();
///     }
class SolverFit {
 public:
  /// Keeps the references; nothing is read yet. Throws ConfigError for options that only make sense
  /// for batches (gradient_clip_val), for a precision of two bytes, and if the ranks can't divide
  /// the features of this module
  /// (`shard: features`).
  SolverFit(LoopParts parts, const DataLoaders& train, Solver& solver);
  ~SolverFit();

  /// Lets `note` see the first batch of training rows, in the first iteration.
  void on_first_batch(std::function<void(const Batch& batch)> note) {
    rows_.on_first_batch(std::move(note));
  }
  /// Makes one iteration and logs "objective", "gradient_norm" and "n_iter" and, if there are
  /// several ranks, "comm_bytes": the bytes that a rank has sent in this iteration. If the solver
  /// is done then, requests that the fit end. Throws what the solver throws; before the first
  /// iteration, DataError if the training data have no rows, or a single class. A collective.
  void iterate(Step& step);
  /// The solver's state for a checkpoint. A collective if ranks divide the features.
  StateDict state_dict() const;
  /// Whether each rank has a part of the solver's state only.
  bool divides_features() const { return divides_features_; }
  /// Warns, at the end of a fit, if the solver hasn't converged, and says what to do.
  void warn_unless_converged() const;

 private:
  void make_objective();
  void check_division() const;
  int64_t sent_bytes() const;

  LoopParts parts_;
  Solver& solver_;
  bool divides_features_;
  TrainingRows rows_;
  std::unique_ptr<Objective> objective_;
};

/// The part of a solver in a fit; null if the optimizer is none.
std::unique_ptr<SolverFit> make_solver_fit(LoopParts parts, const DataLoaders& train,
                                           Optimizers& optimizers);

}  // namespace levin
