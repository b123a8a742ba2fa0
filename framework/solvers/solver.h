#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/optimizers/optimizer.h>
#include <levin/framework/solvers/objective.h>

namespace levin {

/// The options that all solvers share.
struct SolverOptions {
  /// The solver has converged once no entry of the gradient is larger, where the loss is a mean
  /// over the rows. For an L1 penalty, the gradient is the subgradient of least size.
  double tol = 1e-4;
  /// The most iterations of a fit, at least 1.
  int64_t max_iter = 1000;
  /// What the ranks of a run divide among them: "rows", or "features", for linear models of many
  /// more features than rows (ColumnObjective). One process does the same in either case.
  std::string shard = "rows";
};

Fields describe(SolverOptions& options);
/// Throws ConfigError, naming the option, if a value is out of range.
void validate(const SolverOptions& options);

/// An optimizer that needs the whole training set: it minimises an Objective over all rows instead
/// of taking steps along the gradients of batches. The Trainer gives it one iteration an epoch:
///
///     levin::Optimizers configure_optimizers() override {
///       return levin::NewtonCG(parameters(), {.tol = 1e-6});
///     }
///
/// Without a Trainer, call `iterate` until `is_done`.
///
/// The first iteration begins at the parameters or, if the objective is known to be convex and
/// lower there, at 0.
///
/// The point is kept in float64, whatever the type of the parameters, which are rounded copies of
/// it. The state is complete: a solver that goes on from a saved state takes the same steps, bit
/// for bit.
class Solver : public Optimizer {
 public:
  /// Always throws ModuleError: a solver can't go by the gradients of a batch.
  torch::Tensor step(const Closure& closure = {}) override;
  bool reevaluates_closure() const override { return true; }
  /// If the objective of the last iteration divides vectors among ranks, the vectors in the state
  /// are this rank's parts, and `whole_state` gives the state that can be loaded.
  StateDict state_dict() const override;
  /// The state with whole vectors, which can be loaded on any number of ranks. A collective if
  /// `objective`, that of the last iteration, divides them.
  StateDict whole_state(Objective& objective) const;
  void load_state_dict(const StateDict& state) override;
  /// The part of the state that differs from rank to rank; empty if there is none. `state_dict` has
  /// that of rank 0.
  virtual StateDict own_state() const { return {}; }
  /// Takes this rank's part back, after `load_state_dict`. If it is empty, as for a checkpoint of
  /// another number of ranks, the solver goes on without.
  virtual void load_own_state(const StateDict& /*state*/) {}

  /// Makes one iteration: one step of the method, whatever number of passes over the rows it takes.
  /// Then writes the new point to the parameters. Throws ConfigError, before anything is changed,
  /// if the solver can't minimise this objective (an L1 penalty, for example).
  void iterate(Objective& objective);
  /// Whether the last iteration ended with a gradient within `tol`.
  bool has_converged() const { return iterations_ > 0 && is_complete() && is_within_tol(); }
  /// Whether further iterations are of no use: it has converged, max_iter is reached, or no point
  /// that is better to working precision was found.
  bool is_done() const;
  /// Why the solver is done, for people: "converged", or what stopped it before.
  std::string outcome() const;

  /// The iterations so far, and the passes over the rows that they took.
  int64_t iterations() const { return iterations_; }
  /// The objective with all penalties, and the largest entry of its gradient (see `tol`), after the
  /// last iteration.
  double objective() const { return value_; }
  double gradient_norm() const { return gradient_norm_; }
  const SolverOptions& options() const { return options_; }

 protected:
  Solver(std::vector<torch::Tensor> parameters, SolverOptions options);
  Solver(Solver&&) noexcept = default;

  /// Goes from `point_`, with `value_` and `gradient_`, to a better one and sets the three. Returns
  /// false if it found none; they are then as they were. The objective was evaluated at `point_`.
  virtual bool advance(Objective& objective) = 0;
  /// Throws ConfigError if the solver can't minimise this objective, before anything is changed.
  virtual void check(Objective& objective);
  /// Whether a gradient within `tol` is all that the solver is after; by default it is.
  virtual bool is_complete() const { return true; }
  /// Whether the solver can take L1 penalties; by default it can't.
  virtual bool takes_l1() const { return false; }
  /// Whether the solver takes objectives that divide vectors among ranks (`Objective::parts`), for
  /// which it has to compute all products of vectors by `Objective::dot`, and to save no tensors
  /// but vectors; by default it doesn't.
  virtual bool takes_parts() const { return false; }
  /// Adds the state of the method to `state`, and takes it back.
  virtual void save(StateDict& /*state*/) const {}
  virtual void load(const StateDict& /*state*/) {}
  /// Forgets what was learned of the objective, after its precision was raised.
  virtual void restart() {}

  /// Goes to `next`, by one evaluation there. Returns false, and stays, if `must_descend` and that
  /// is no better point: F is higher or, to rounding, the same with a larger gradient.
  bool move_to(Objective& objective, torch::Tensor next, bool must_descend);
  /// Computes with more digits from now on if there are any to be had, and evaluates the point
  /// anew. Without that, it's done once the solver converges or gets stuck.
  void raise_precision(Objective& objective);
  /// F = f + L1 at `point`, of which f and its gradient are given.
  static double with_l1(Objective& objective, const torch::Tensor& point, double value);
  /// The subgradient of F of least size, [size].
  static torch::Tensor least_subgradient(const Objective& objective, const torch::Tensor& point,
                                         const torch::Tensor& gradient);

  torch::Tensor point_;     // [size] float64
  torch::Tensor gradient_;  // of f at the point
  double value_ = 0.0;      // F at the point

 private:
  void evaluate(Objective& objective);
  void leave_bad_start(Objective& objective);
  bool is_within_tol() const { return gradient_norm_ <= options_.tol; }
  void take_part(Objective& objective);
  void write_parameters(Objective& objective);

  SolverOptions options_;
  double gradient_norm_ = std::numeric_limits<double>::infinity();
  int64_t iterations_ = 0;
  bool is_stuck_ = false;      // the last iteration found no better point
  bool is_precise_ = false;    // the objective's precision was raised
  bool is_evaluated_ = false;  // at the point, since the state was loaded
  bool is_part_ = false;       // the point and the method's vectors are this rank's parts
};

}  // namespace levin
