#include <levin/framework/solvers/solver.h>

#include <cmath>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/checks.h>
#include <levin/framework/solvers/column_parts.h>

namespace levin {

Fields describe(SolverOptions& o) {
  return fields_of<SolverOptions>({
      {"tol", &o.tol, "converged if no entry of the gradient is larger"},
      {"max_iter", &o.max_iter, "the most iterations, of which an epoch has one"},
      {"shard", &o.shard, "what ranks divide: rows, or features (many more than rows)"},
  });
}

void validate(const SolverOptions& options) {
  check_above_zero("tol", options.tol);
  check_option(options.max_iter >= 1, "max_iter", options.max_iter, "must be at least 1");
  if (options.shard == "rows" || options.shard == "features") return;
  throw ConfigError::unknown_name("shard", options.shard, {"rows", "features"});
}

Solver::Solver(std::vector<torch::Tensor> parameters, SolverOptions options)
    : Optimizer(single_group(std::move(parameters)), /*learning_rate=*/1.0, /*weight_decay=*/0.0),
      options_(std::move(options)) {
  validate(options_);
}

torch::Tensor Solver::step(const Closure& /*closure*/) {
  throw ModuleError::contract(
      name(), "was asked to step by the gradients of a batch",
      "it minimises over all training rows: let the Trainer run it, or call iterate");
}

double Solver::with_l1(Objective& objective, const torch::Tensor& point, double value) {
  const auto l1 = objective.l1();
  return l1.defined() ? value + objective.dot(l1, point.abs()) : value;
}

torch::Tensor Solver::least_subgradient(const Objective& objective, const torch::Tensor& point,
                                        const torch::Tensor& gradient) {
  const auto l1 = objective.l1();
  return l1.defined() ? levin::least_subgradient(point, gradient, l1) : gradient;
}

bool Solver::move_to(Objective& objective, torch::Tensor next, bool must_descend) {
  objective.remove_idle(next);
  auto gradient = at::empty_like(gradient_);
  const double value = with_l1(objective, next, objective.evaluate(next, gradient));
  if (must_descend) {
    const double rounding = 8.0 * std::numeric_limits<double>::epsilon() * std::abs(value_);
    const auto largest = [&](const torch::Tensor& point, const torch::Tensor& smooth) {
      return objective.largest(least_subgradient(objective, point, smooth));
    };
    const bool is_lower = value <= value_ - rounding;
    const bool is_same = value <= value_ + rounding;
    if (!is_lower && !(is_same && largest(next, gradient) < largest(point_, gradient_))) {
      return false;
    }
  }
  point_ = std::move(next);
  gradient_ = std::move(gradient);
  value_ = value;
  return true;
}

void Solver::evaluate(Objective& objective) {
  value_ = with_l1(objective, point_, objective.evaluate(point_, gradient_));
  gradient_norm_ = objective.largest(least_subgradient(objective, point_, gradient_));
  is_evaluated_ = true;
  if (std::isfinite(value_) && std::isfinite(gradient_norm_)) return;
  throw ModuleError::contract(
      name(), fmt::format("found the objective {} with the gradient {}", value_, gradient_norm_),
      "look for NaN, infinity and very large numbers among the features and targets, and scale the "
      "features (standardize: true)");
}

void Solver::check(Objective& objective) {
  if (objective.parts() != nullptr && !takes_parts()) {
    throw ConfigError::conflict(
        fmt::format("features that are divided among ranks (shard = features) with {}, whose steps "
                    "need all of them",
                    name()),
        "set shard to rows, or use lbfgs, newton-cg or trust-region");
  }
  if (!objective.l1().defined() || takes_l1()) return;
  throw ConfigError::conflict(
      fmt::format("an L1 penalty with {}, which needs a smooth objective", name()),
      "set l1_strength to 0, or use coordinate-descent, saga or lbfgs");
}

void Solver::iterate(Objective& objective) {
  const at::NoGradGuard no_grad;
  check(objective);
  const bool is_first = !point_.defined();
  if (is_first) {
    std::vector<torch::Tensor> flat;
    for (const auto& p : stepped()) flat.push_back(p.detach().to(at::kCPU, at::kDouble).flatten());
    point_ = at::cat(flat);
  }
  if (objective.parts() != nullptr && !is_part_) take_part(objective);
  if (is_first) objective.remove_idle(point_);
  if (!gradient_.defined() || gradient_.numel() != point_.numel()) {
    gradient_ = at::empty_like(point_);
  }
  if (is_precise_) objective.raise_precision();
  if (!is_evaluated_) evaluate(objective);
  if (is_first) leave_bad_start(objective);
  const bool is_there = is_within_tol() && is_complete();
  if (!is_there && !advance(objective)) is_stuck_ = true;
  ++iterations_;
  gradient_norm_ = objective.largest(least_subgradient(objective, point_, gradient_));
  if (is_stuck_ || is_within_tol()) raise_precision(objective);
  if (has_converged() || is_stuck_) objective.settle(point_);
  write_parameters(objective);
}

void Solver::raise_precision(Objective& objective) {
  if (!objective.raise_precision()) return;
  is_precise_ = true;
  is_stuck_ = false;
  restart();
  evaluate(objective);
}

/// Begins at 0 if that is better. Random weights on features of large numbers can be so bad that
/// all curvatures vanish, and with them what most solvers go by.
void Solver::leave_bad_start(Objective& objective) {
  const auto at_zero = objective.value_at_zero();
  if (!at_zero || value_ <= *at_zero * (1.0 + 1e-6)) return;
  point_.zero_();
  evaluate(objective);
}

/// Keeps this rank's parts of the whole vectors.
void Solver::take_part(Objective& objective) {
  const auto& parts = *objective.parts();
  point_ = parts.part(point_);
  StateDict state;
  save(state);
  for (auto& [name, tensor] : state.tensors) tensor = parts.part(tensor);
  load(state);
  is_part_ = true;
}

bool Solver::is_done() const {
  return has_converged() || is_stuck_ || iterations_ >= options_.max_iter;
}

std::string Solver::outcome() const {
  if (has_converged()) return "converged";
  if (is_stuck_) return "no better point was found";
  return fmt::format("max_iter = {} is reached", options_.max_iter);
}

void Solver::write_parameters(Objective& objective) {
  auto point = point_;
  if (is_part_) point = objective.parts()->whole(point_.to(stepped().front().scalar_type()));
  int64_t at = 0;
  for (auto& parameter : stepped()) {
    parameter.copy_(point.narrow(0, at, parameter.numel()).view(parameter.sizes()));
    at += parameter.numel();
  }
}

StateDict Solver::state_dict() const {
  StateDict state;
  state.values = groups_value();
  auto& values = state.values;
  values["iterations"] = iterations_;
  values["is_precise"] = is_precise_;
  values["is_stuck"] = is_stuck_;
  if (!point_.defined()) return state;
  state.tensors["point"] = point_;
  save(state);
  return state;
}

StateDict Solver::whole_state(Objective& objective) const {
  auto state = state_dict();
  if (!is_part_) return state;
  for (auto& [name, tensor] : state.tensors) tensor = objective.parts()->whole(tensor);
  return state;
}

void Solver::load_state_dict(const StateDict& state) {
  std::vector<std::string> problems;
  check_groups(state, problems);
  int64_t size = 0;
  for (const auto& parameter : stepped()) size += parameter.numel();
  const bool has_point = state.tensors.count("point") > 0;
  if (has_point && state.tensor("point").numel() != size) {
    problems.push_back(
        fmt::format("it is of {} parameters, this has {}", state.tensor("point").numel(), size));
  }
  if (!problems.empty()) throw CheckpointError::mismatch("the solver's state", problems);
  load_groups(state);
  iterations_ = state.values.at("iterations").as_int();
  is_precise_ = state.values.at("is_precise").as_bool();
  is_stuck_ = state.values.at("is_stuck").as_bool();
  is_evaluated_ = false;
  is_part_ = false;
  if (!has_point) return;
  point_ = state.tensor("point").to(at::kCPU, at::kDouble).clone();
  load(state);
}

}  // namespace levin
