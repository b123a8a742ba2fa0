#include <levin/framework/solvers/quasi_newton.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <levin/framework/optimizers/checks.h>
#include <levin/framework/solvers/centring.h>
#include <levin/framework/solvers/line_search.h>
#include <levin/framework/solvers/proximal_newton.h>

namespace levin {

Fields describe(QuasiNewtonOptions& o) {
  return fields_of<QuasiNewtonOptions>({
      {"tol", &o.tol, "converged if no entry of the gradient is larger"},
      {"max_iter", &o.max_iter, "the most iterations, of which an epoch has one"},
      {"history_size", &o.history_size, "past steps that the curvature is estimated from"},
      {"precondition", &o.precondition, "start from the objective's approximate curvature"},
      {"shard", &o.shard, "what ranks divide: rows, or features (many more than rows)"},
  });
}

QuasiNewton::QuasiNewton(std::vector<torch::Tensor> parameters, QuasiNewtonOptions options)
    : Solver(std::move(parameters),
             {.tol = options.tol, .max_iter = options.max_iter, .shard = options.shard}),
      options_(std::move(options)) {
  check_option(options_.history_size >= 1, "history_size", options_.history_size,
               "must be at least 1");
}

/// The two-loop recursion: approximately -inverse(Hessian) . gradient.
torch::Tensor QuasiNewton::direction(Objective& objective, const torch::Tensor& gradient) {
  auto result = gradient.neg();
  std::vector<double> factors(history_.size());
  for (size_t i = history_.size(); i-- > 0;) {
    auto& [s, y, curvature] = history_[i];
    if (!curvature) curvature = objective.dot(s, y);
    factors[i] = objective.dot(s, result) / *curvature;
    result.sub_(y, factors[i]);
  }
  if (options_.precondition && !objective.l1().defined()) {
    result = objective.precondition(result);
    if (!history_.empty()) {
      const auto& y = history_.back().gradient;
      const double size = objective.dot(y, objective.precondition(y));
      if (size > 0.0) result.mul_(*history_.back().curvature / size);
    }
  } else if (!history_.empty()) {
    const auto& y = history_.back().gradient;
    result.mul_(*history_.back().curvature / objective.dot(y, y));
  }
  for (size_t i = 0; i < history_.size(); ++i) {
    const auto& [s, y, curvature] = history_[i];
    result.add_(s, factors[i] - objective.dot(y, result) / *curvature);
  }
  return result;
}

/// Remembers by what a step has changed the point and the gradient.
void QuasiNewton::remember(Objective& objective, const torch::Tensor& point,
                           const torch::Tensor& gradient) {
  double products[] = {point.dot(gradient).item<double>(), gradient.dot(gradient).item<double>()};
  objective.sum_over_parts(products);
  if (products[0] > 1e-16 * products[1]) history_.push_back({point, gradient, products[0]});
  if (std::ssize(history_) > options_.history_size) history_.erase(history_.begin());
}

/// Whether it is time for ProximalNewton.
bool QuasiNewton::is_slow(Objective& objective) {
  constexpr int64_t kPatience = 20;
  constexpr double kIterations = 4.0;  // of ProximalNewton to the end
  const int64_t waited = halving_.wait(gradient_norm(), iterations());
  if (waited < kPatience) return false;
  const double cost = kIterations * ProximalNewton(objective, {point_, gradient_, value_}).cost();
  const double halvings = std::log2(std::max(gradient_norm() / options_.tol, 1.0));
  return halvings * static_cast<double>(waited) >= cost;
}

/// Goes on by ProximalNewton. Returns false, with the point as it was, if that isn't possible or
/// found no better point.
bool QuasiNewton::end_by_newton(Objective& objective) {
  is_newton_ = false;
  halving_.reset();
  if (!std::isfinite(ProximalNewton(objective, {point_, gradient_, value_}).cost())) return false;
  raise_precision(objective);  // the last digits are what it is for
  history_.clear();            // it is of other points
  const auto norm = [&] {
    return objective.largest(least_subgradient(objective, point_, gradient_));
  };
  const double before = norm();
  if (!ProximalNewton(objective, {point_, gradient_, value_}).improve(options_.tol)) return false;
  is_newton_ = norm() <= 0.5 * before;
  return true;
}

bool QuasiNewton::advance(Objective& objective) {
  const bool has_l1 = objective.l1().defined();
  if (has_l1 && (is_newton_ || is_slow(objective)) && end_by_newton(objective)) return true;
  if (try_once(objective)) return true;
  if (!history_.empty()) {
    history_.clear();  // along steepest descent there may be a better point
    if (try_once(objective)) return true;
  }
  constexpr double kRounding = 1e-12;  // of float64; float32 comes first
  return has_l1 && objective.noise() < kRounding && end_by_newton(objective);
}

bool QuasiNewton::try_once(Objective& objective) {
  if (objective.l1().defined()) return search_orthant(objective);
  const auto along = direction(objective, gradient_);
  const bool is_scaled = options_.precondition || !history_.empty();
  const double first =
      is_scaled ? 1.0 : std::min(1.0, 1.0 / std::sqrt(objective.dot(along, along)));
  const auto point = point_;
  const auto gradient = gradient_;
  if (!move_along(objective, along, first, point_, gradient_, value_)) return false;
  remember(objective, point_ - point, gradient_ - gradient);
  return true;
}

/// Goes along the direction within the orthant that the point, or the subgradient at entries of 0,
/// lies in: entries that would change their sign become 0. The points and gradients here, and those
/// of the history, are of the variables that the objective gives.
bool QuasiNewton::search_orthant(Objective& objective) {
  const auto l1 = objective.l1();
  const auto is_free = l1 == 0.0;  // a bias may change its sign
  const auto* centring = objective.centring();
  const auto start = centring != nullptr ? centring->apply(point_) : point_;
  const auto slopes = centring != nullptr ? centring->gradient(gradient_) : gradient_;
  const auto subgradient = least_subgradient(objective, start, slopes);
  auto along = direction(objective, subgradient);
  along = at::where((along * subgradient).ge(0.0), at::zeros_like(along), along);
  if (!(objective.dot(along, subgradient) < 0.0)) return false;
  const auto orthant = at::where(start == 0.0, -subgradient.sign(), start.sign());
  double step = 1.0;
  if (history_.empty()) step = std::min(1.0, 1.0 / std::sqrt(objective.dot(along, along)));
  auto gradient = at::empty_like(gradient_);
  const double noise = objective.noise() * std::abs(value_);
  constexpr int kMostTrials = 40;
  for (int trial = 0; trial < kMostTrials; ++trial, step *= 0.5) {
    auto end = at::add(start, along, step);
    end = at::where((end * orthant).le(0.0).logical_and(is_free.logical_not()), at::zeros_like(end),
                    end);
    auto point = centring != nullptr ? centring->undo(end) : end;
    const double value = with_l1(objective, point, objective.evaluate(point, gradient));
    const double promised = objective.dot(end - start, subgradient);
    if (!(promised < 0.0)) continue;
    const auto end_slopes = centring != nullptr ? centring->gradient(gradient) : gradient;
    // Close to the minimum, the objective's changes are lost in rounding, but the gradient's
    // aren't.
    const bool falls = value <= value_ + 1e-4 * promised;
    const bool is_flatter = value <= value_ + noise &&
                            objective.largest(least_subgradient(objective, end, end_slopes)) <
                                objective.largest(subgradient);
    if (!falls && !is_flatter) continue;
    remember(objective, end - start, end_slopes - slopes);
    std::swap(point_, point);
    std::swap(gradient_, gradient);
    value_ = value;
    return true;
  }
  return false;
}

void QuasiNewton::save(StateDict& state) const {
  state.values["is_newton"] = is_newton_;
  halving_.save(state, "newton.");
  for (size_t i = 0; i < history_.size(); ++i) {
    state.tensors["history." + std::to_string(i) + ".point"] = history_[i].point;
    state.tensors["history." + std::to_string(i) + ".gradient"] = history_[i].gradient;
  }
}

void QuasiNewton::load(const StateDict& state) {
  history_.clear();
  is_newton_ = state.values.contains("is_newton") && state.values.at("is_newton").as_bool();
  halving_.load(state, "newton.");
  for (size_t i = 0; state.tensors.count("history." + std::to_string(i) + ".point") > 0; ++i) {
    const auto key = "history." + std::to_string(i);
    history_.push_back({state.tensor(key + ".point").to(at::kCPU, at::kDouble).clone(),
                        state.tensor(key + ".gradient").to(at::kCPU, at::kDouble).clone(),
                        {}});
  }
}

void QuasiNewton::restart() { history_.clear(); }

}  // namespace levin
