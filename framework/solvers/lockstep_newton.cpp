#include <levin/framework/solvers/lockstep_newton.h>

#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

/// The largest entry of the least subgradient of each problem.
torch::Tensor violations_of(const ManyObjective& objective, const ManyObjective::Problems& some,
                            const torch::Tensor& gradients) {
  return objective.least_subgradients(some, gradients).abs().amax(1);
}

/// The whole objectives, and the gradients of their smooth parts.
ManyObjective::Values whole_values(ManyObjective& objective, const ManyObjective::Problems& some) {
  auto found = objective.evaluate_each(some);
  found.values = found.values + objective.penalties(some);
  return found;
}

}  // namespace

Fields describe(LockstepNewtonOptions& o) {
  return fields_of<LockstepNewtonOptions>({
      {"tol", &o.tol, "a regression has converged if no entry of its gradient is larger"},
      {"max_iter", &o.max_iter, "the most iterations, of which an epoch has one"},
  });
}

LockstepNewton::LockstepNewton(std::vector<torch::Tensor> parameters, LockstepNewtonOptions options)
    : Solver(std::move(parameters), {.tol = options.tol, .max_iter = options.max_iter}) {}

void LockstepNewton::check(Objective& objective) {
  Solver::check(objective);
  const auto* many = dynamic_cast<ManyObjective*>(&objective);
  if (many == nullptr) {
    throw ConfigError::conflict(
        "lockstep-newton for a module that isn't many regressions at once",
        "use it with ManyRegressions, or take newton-cholesky or newton-cg");
  }
  constexpr int64_t kMost = 2000;
  const int64_t features = many->losses().weight.size(1);
  if (features <= kMost) return;
  throw ConfigError::conflict(
      fmt::format("lockstep-newton with {} features", features),
      fmt::format(
          "its Hessians are for up to {}; use newton-cg or lbfgs, which minimise the sum of "
          "all regressions",
          kMost));
}

bool LockstepNewton::advance(Objective& objective) {
  auto& many = dynamic_cast<ManyObjective&>(objective);
  auto points = many.to_rows(point_);
  const int64_t count = points.size(0);
  const ManyObjective::Problems all{at::arange(count, at::kLong), points};
  if (!found_.values.defined()) {
    found_ = whole_values(many, all);
    counts_ = at::zeros({count}, at::kLong);
    is_stuck_each_ = at::zeros({count}, at::kBool);
  }
  const auto is_open = violations_of(many, all, found_.gradients).gt(options().tol);
  const auto numbers = is_open.logical_and(is_stuck_each_.logical_not()).nonzero().squeeze(1);
  if (numbers.numel() == 0) return false;
  ManyObjective::Problems some{numbers, points.index_select(0, numbers)};
  const ManyObjective::Values start{found_.values.index_select(0, numbers),
                                    found_.gradients.index_select(0, numbers)};
  const auto found = search(many, some, start, many.newton_directions(some, start.gradients));
  counts_.index_add_(0, numbers, at::ones_like(numbers));
  points.index_copy_(0, numbers, some.points);
  found_.values.index_copy_(0, numbers, found.values);
  found_.gradients.index_copy_(0, numbers, found.gradients);
  point_ = many.to_flat(points);
  gradient_ = many.to_flat(found_.gradients);
  value_ = found_.values.sum().item<double>();
  return !is_stuck_each_.index_select(0, numbers).all().item<bool>();
}

/// Moves each of `some` along its direction, by the longest of the steps 1, 1/2, 1/4 ... that makes
/// its objective fall enough, and returns the values there. Those that find none are stuck.
ManyObjective::Values LockstepNewton::search(ManyObjective& objective,
                                             ManyObjective::Problems& some,
                                             const ManyObjective::Values& start,
                                             const torch::Tensor& directions) {
  // What a whole step promises, to first order in the loss and exactly in the penalties.
  const auto slopes = (directions * start.gradients).sum(1) +
                      objective.penalties({some.numbers, some.points + directions}) -
                      objective.penalties(some);
  const auto rounding = start.values.abs() * (8.0 * std::numeric_limits<double>::epsilon());
  const auto norms = violations_of(objective, some, start.gradients);
  ManyObjective::Values result{start.values.clone(), start.gradients.clone()};
  const auto from = some.points.clone();
  // Near the minimum, the promise is less than the rounding errors of the penalties, and the
  // gradients decide.
  const auto may_fall = slopes.lt(rounding);
  auto open = may_fall.nonzero().squeeze(1);  // places among `some`
  constexpr int kMostTrials = 40;
  double step = 1.0;
  for (int trial = 0; trial < kMostTrials && open.numel() > 0; ++trial, step *= 0.5) {
    const auto pick = [&open](const torch::Tensor& all) { return all.index_select(0, open); };
    const ManyObjective::Problems tried{pick(some.numbers),
                                        at::add(pick(from), pick(directions), step)};
    const auto found = whole_values(objective, tried);
    const auto change = found.values - pick(start.values);
    const auto falls = change.le(pick(slopes) * (1e-4 * step) - pick(rounding));
    const auto is_same_but_flatter =
        change.le(pick(rounding))
            .logical_and(violations_of(objective, tried, found.gradients).lt(pick(norms)));
    const auto is_good = falls.logical_or(is_same_but_flatter);
    const auto good = is_good.nonzero().squeeze(1);
    const auto places = open.index_select(0, good);
    some.points.index_copy_(0, places, tried.points.index_select(0, good));
    result.values.index_copy_(0, places, found.values.index_select(0, good));
    result.gradients.index_copy_(0, places, found.gradients.index_select(0, good));
    open = open.index_select(0, is_good.logical_not().nonzero().squeeze(1));
  }
  const auto is_uphill = may_fall.logical_not().nonzero().squeeze(1);
  const auto stuck = at::cat({open, is_uphill});
  is_stuck_each_.index_fill_(0, some.numbers.index_select(0, stuck), true);
  return result;
}

void LockstepNewton::save(StateDict& state) const {
  if (!found_.values.defined()) return;
  state.tensors["objectives"] = found_.values;
  state.tensors["gradients"] = found_.gradients;
  state.tensors["iterations_each"] = counts_;
  state.tensors["is_stuck_each"] = is_stuck_each_;
}

void LockstepNewton::load(const StateDict& state) {
  if (state.tensors.count("objectives") == 0) return;
  found_ = {state.tensor("objectives").clone(), state.tensor("gradients").clone()};
  counts_ = state.tensor("iterations_each").clone();
  is_stuck_each_ = state.tensor("is_stuck_each").clone();
}

}  // namespace levin
