#pragma once

#include <levin/framework/solvers/objective.h>

namespace levin {

/// A point that a line search has found.
struct LineSearchResult {
  /// Whether it fulfils the conditions; else it is of no use.
  bool is_found = false;
  double step = 0.0;
  double value = 0.0;
  torch::Tensor point{};
  torch::Tensor gradient{};
};

/// Where a line search starts, and its direction.
struct Line {
  torch::Tensor point;
  torch::Tensor direction;
  double value = 0.0;
  /// The derivative of the value along the direction, below 0.
  double slope = 0.0;
};

/// Searches along a line for a step that fulfils the strong Wolfe conditions, beginning with
/// `first_step`: the value falls by at least 1e-4 of what the slope promises, and the slope to at
/// most 0.9 of its size. Where values differ by rounding errors only, the slopes decide alone
/// (Hager and Zhang's approximate conditions). If the result is found, the objective was evaluated
/// there last.
///
/// Nocedal and Wright, "Numerical Optimization", 2006, algorithms 3.5 and 3.6; Hager and Zhang,
/// doi:10.1137/030601880.
LineSearchResult search_line(Objective& objective, const Line& line, double first_step);

/// Searches along `direction` from the point with that gradient and value, and moves the three to
/// what was found. Returns false, and leaves them as they are, if nothing was, or if the value
/// doesn't fall in that direction.
bool move_along(Objective& objective, const torch::Tensor& direction, double first_step,
                torch::Tensor& point, torch::Tensor& gradient, double& value);

}  // namespace levin
