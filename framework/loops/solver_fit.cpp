#include <levin/framework/loops/solver_fit.h>

#include <fmt/format.h>

#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/training_data.h>
#include <levin/framework/loops/autograd_objective.h>
#include <levin/framework/loops/limits.h>
#include <levin/framework/run/module.h>
#include <levin/framework/run/step.h>
#include <levin/framework/solvers/column_objective.h>
#include <levin/framework/solvers/linear_objective.h>
#include <levin/framework/solvers/objective_source.h>

namespace levin {
namespace {

/// The number of batches that a pass may read; nothing for all rows.
std::optional<int64_t> batches_a_pass(const LoopParts& parts, const DataLoaders& train) {
  const auto& limit = parts.options.limit_train_batches;
  const auto available = TrainingData::size(train, parts.strategy.rank_share());
  const auto batches = limited("limit_train_batches", limit, available);
  if (batches == available) return {};
  return batches;
}

}  // namespace

std::unique_ptr<SolverFit> make_solver_fit(LoopParts parts, const DataLoaders& train,
                                           Optimizers& optimizers) {
  if (optimizers.size() != 1) return nullptr;
  auto* const solver = dynamic_cast<Solver*>(optimizers.entries().front().optimizer.get());
  return solver != nullptr ? std::make_unique<SolverFit>(parts, train, *solver) : nullptr;
}

SolverFit::SolverFit(LoopParts parts, const DataLoaders& train, Solver& solver)
    : parts_(parts),
      solver_(solver),
      divides_features_(solver.options().shard == "features" && parts.strategy.ranks().size() > 1),
      rows_(parts, train, batches_a_pass(parts, train),
            divides_features_ ? TrainingRows::Of::all_ranks : TrainingRows::Of::this_rank) {
  require_sequential(train, "the solver " + solver.name());
  if (parts.precision.has_halves()) {
    throw ConfigError::conflict(
        fmt::format("precision = {} with the solver {}", parts.precision.name(), solver.name()),
        "solvers compute in float32 and float64: use 32-true or 64-true");
  }
  if (divides_features_) check_division();
  if (parts_.options.gradient_clip_val.value_or(0.0) == 0.0) return;
  throw ConfigError::conflict(fmt::format("gradient_clip_val = {} with the solver {}",
                                          *parts_.options.gradient_clip_val, solver.name()),
                              "leave it out: a solver chooses its steps by a search");
}

SolverFit::~SolverFit() = default;

void SolverFit::check_division() const {
  const auto loss = parts_.module.linear_loss();
  const bool makes_its_own = dynamic_cast<const ObjectiveSource*>(&parts_.module) != nullptr;
  if (!loss || makes_its_own || !LinearObjective::fits(*loss, solver_.stepped())) {
    throw ConfigError::conflict(
        fmt::format("shard = features with the module {}", parts_.module.class_name()),
        "ranks can divide the features if the module declares a loss that is linear in them "
        "(Module::linear_loss), as LogisticRegression and LinearRegression do, but not their "
        "subclasses; else set shard to rows");
  }
  ColumnParts::require_enough(loss->weight.size(1), parts_.strategy.ranks().size());
}

void SolverFit::make_objective() {
  const auto parameters = solver_.stepped();
  if (divides_features_) {
    objective_ = std::make_unique<ColumnObjective>(rows_, parts_.module.linear_loss().value(),
                                                   parameters, parts_.strategy.ranks());
    return;
  }
  if (const auto* source = dynamic_cast<const ObjectiveSource*>(&parts_.module)) {
    objective_ = source->make_objective(rows_, parameters);
    return;
  }
  if (auto loss = parts_.module.linear_loss()) {
    if (LinearObjective::fits(*loss, parameters)) {
      objective_ = std::make_unique<LinearObjective>(rows_, std::move(*loss), parameters);
      return;
    }
  }
  objective_ = std::make_unique<AutogradObjective>(parts_, rows_, parameters);
}

StateDict SolverFit::state_dict() const {
  return objective_ ? solver_.whole_state(*objective_) : solver_.state_dict();
}

int64_t SolverFit::sent_bytes() const {
  const auto* const divided = objective_->parts();
  return rows_.sent_bytes() + (divided != nullptr ? divided->sent_bytes() : 0);
}

void SolverFit::iterate(Step& step) {
  if (!objective_) make_objective();
  const int64_t sent = sent_bytes();
  solver_.iterate(*objective_);
  const LogOptions options{.on_step = false, .on_epoch = true, .prog_bar = true};
  step.log("objective", solver_.objective(), options);
  step.log("gradient_norm", solver_.gradient_norm(), options);
  step.log("n_iter", static_cast<double>(solver_.iterations()),
           {.on_step = false, .on_epoch = true});
  if (parts_.strategy.ranks().size() > 1) {
    step.log("comm_bytes", static_cast<double>(sent_bytes() - sent),
             {.on_step = false, .on_epoch = true});
  }
  if (!solver_.is_done()) return;
  parts_.run.stop(fmt::format("{}: {} after {}", solver_.name(), solver_.outcome(),
                              counted(solver_.iterations(), "iteration")));
}

void SolverFit::warn_unless_converged() const {
  if (solver_.has_converged() || solver_.iterations() == 0) return;
  parts_.run.warn(fmt::format(
      "{} has not converged: after {}, the largest entry of the gradient is {:.3g}, and tol is "
      "{:.3g}. {}",
      solver_.name(), counted(solver_.iterations(), "iteration"), solver_.gradient_norm(),
      solver_.options().tol,
      solver_.is_done() && solver_.iterations() < solver_.options().max_iter
          ? "No better point was found to working precision: scale the features (standardize: "
            "true), train in float64, or accept the result"
          : "Scale the features (standardize: true), allow more iterations (max_iter of the "
            "solver, max_epochs of the Trainer), or raise tol"));
}

}  // namespace levin
