#include <levin/framework/solvers/newton_cg.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <levin/framework/optimizers/checks.h>
#include <levin/framework/solvers/conjugate_gradients.h>
#include <levin/framework/solvers/line_search.h>

namespace levin {
namespace {

void validate_newton(const NewtonOptions& o) {
  check_option(o.max_products >= 1, "max_products", o.max_products, "must be at least 1");
}

}  // namespace

Fields describe(NewtonOptions& o) {
  return fields_of<NewtonOptions>({
      {"tol", &o.tol, "converged if no entry of the gradient is larger"},
      {"max_iter", &o.max_iter, "the most iterations, of which an epoch has one"},
      {"max_products", &o.max_products, "the most passes over the rows for a step"},
      {"precondition", &o.precondition, "use the objective's approximate inverse curvature"},
      {"shard", &o.shard, "what ranks divide: rows, or features (many more than rows)"},
  });
}

NewtonCG::NewtonCG(std::vector<torch::Tensor> parameters, NewtonOptions options)
    : Solver(std::move(parameters),
             {.tol = options.tol, .max_iter = options.max_iter, .shard = options.shard}),
      options_(std::move(options)) {
  validate_newton(options_);
}

bool NewtonCG::advance(Objective& objective) {
  const auto newton = conjugate_gradients(
      objective, gradient_,
      {.max_products = options_.max_products, .precondition = options_.precondition});
  return move_along(objective, newton.step, 1.0, point_, gradient_, value_);
}

TrustRegionNewton::TrustRegionNewton(std::vector<torch::Tensor> parameters, NewtonOptions options)
    : Solver(std::move(parameters),
             {.tol = options.tol, .max_iter = options.max_iter, .shard = options.shard}),
      options_(std::move(options)) {
  validate_newton(options_);
}

bool TrustRegionNewton::advance(Objective& objective) {
  // The constants are those of Lin, Weng and Keerthi.
  constexpr double kAccept = 1e-4;
  constexpr double kPoor = 0.25;
  constexpr double kGood = 0.75;
  auto gradient = at::empty_like(gradient_);
  bool is_first = radius_ == 0.0;
  if (is_first) {
    const auto step = options_.precondition ? objective.precondition(gradient_) : gradient_;
    radius_ = std::sqrt(std::max(0.0, objective.dot(step, gradient_)));
  }
  constexpr int kMostTrials = 30;
  for (int trial = 0; trial < kMostTrials; ++trial) {
    const auto newton = conjugate_gradients(objective, gradient_,
                                            {.max_products = options_.max_products,
                                             .precondition = options_.precondition,
                                             .radius = radius_});
    if (!(newton.change < 0.0)) return false;
    const auto point = point_ + newton.step;
    const double value = objective.evaluate(point, gradient);
    const double change = value - value_;
    if (is_first) radius_ = std::min(radius_, newton.norm);
    is_first = false;
    // The length along the step at which a parabola has its minimum.
    const double slope = objective.dot(gradient_, newton.step);
    const double bend = change - slope;
    const double best = bend <= 0.0 ? 4.0 : std::max(0.25, -0.5 * slope / bend);
    const double length = best * newton.norm;
    const double noise = objective.noise() * std::abs(value_);
    const bool is_noise = std::abs(change) <= noise && newton.change >= -noise;
    if (change > kAccept * newton.change) {
      radius_ = std::min(std::max(length, 0.25 * newton.norm), 0.5 * radius_);
    } else if (change > kPoor * newton.change) {
      radius_ = std::max(0.25 * radius_, std::min(length, 0.5 * radius_));
    } else if (change > kGood * newton.change) {
      radius_ = std::max(0.25 * radius_, std::min(length, 4.0 * radius_));
    } else {
      radius_ =
          newton.is_at_radius ? 4.0 * radius_ : std::max(radius_, std::min(length, 4.0 * radius_));
    }
    if (change <= kAccept * newton.change || is_noise) {
      point_ = point;
      gradient_.copy_(gradient);
      value_ = value;
      return true;
    }
    objective.evaluate(point_, gradient_);  // the next products are about this point again
  }
  return false;
}

void TrustRegionNewton::save(StateDict& state) const { state.values["radius"] = radius_; }

void TrustRegionNewton::load(const StateDict& state) {
  radius_ = state.values.at("radius").as_double();
}

}  // namespace levin
