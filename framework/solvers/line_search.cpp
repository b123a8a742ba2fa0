#include <levin/framework/solvers/line_search.h>

#include <algorithm>
#include <cmath>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

namespace levin {
namespace {

constexpr double kDecrease = 1e-4;
constexpr double kCurvature = 0.9;
constexpr int kMostWolfeTrials = 30;
constexpr int kMostWorthwhile = 100;

/// A step, with the value and the slope there.
struct Trial {
  double step = 0.0;
  double value = 0.0;
  double slope = 0.0;
};

/// The minimum of the cubic through two trials, kept away from both ends of the interval.
double between(const Trial& a, const Trial& b) {
  const double width = b.step - a.step;
  const double d1 = a.slope + b.slope - 3.0 * (b.value - a.value) / width;
  const double root = std::sqrt(std::max(0.0, d1 * d1 - a.slope * b.slope));
  const double d2 = width > 0.0 ? root : -root;
  const double cubic = b.step - width * (b.slope + d2 - d1) / (b.slope - a.slope + 2.0 * d2);
  const double low = std::min(a.step, b.step);
  const double high = std::max(a.step, b.step);
  if (!std::isfinite(cubic)) return 0.5 * (low + high);
  return std::clamp(cubic, low + 0.1 * (high - low), high - 0.1 * (high - low));
}

class LineSearch {
 public:
  LineSearch(Objective& objective, const Line& line)
      : objective_(objective), line_(line), noise_(objective.noise() * std::abs(line.value)) {
    result_.gradient = at::empty_like(line.direction);
  }

  LineSearchResult run(double first_step) {
    Trial before{0.0, line_.value, line_.slope};
    double step = first_step;
    while (trials_ < kMostWolfeTrials) {
      const Trial trial = look(step);
      if (is_good(trial)) return found(trial);
      const bool is_behind = !has_fallen(trial) || (trials_ > 1 && trial.value >= before.value);
      if (is_behind) return narrow(before, trial);
      if (trial.slope >= 0.0) return narrow(trial, before);
      before = trial;
      step *= 4.0;
    }
    return {};
  }

 private:
  Trial look(double step) {
    ++trials_;
    result_.point = at::add(line_.point, line_.direction, step);
    const double value = objective_.evaluate(result_.point, result_.gradient);
    return {step, value, objective_.dot(result_.gradient, line_.direction)};
  }

  bool has_fallen(const Trial& trial) const {  // false for NaN
    return trial.value <= line_.value + kDecrease * trial.step * line_.slope;
  }
  /// Whether an interval of that width may be searched on: the value could fall by more than noise.
  /// Near saturated losses, the first step may be a billion times too long.
  bool is_worthwhile(double width) const {
    return trials_ < kMostWorthwhile && -line_.slope * std::abs(width) > noise_;
  }
  bool is_good(const Trial& trial) const {
    if (has_fallen(trial)) return std::abs(trial.slope) <= -kCurvature * line_.slope;
    return trial.value <= line_.value + noise_ && trial.slope >= kCurvature * line_.slope &&
           trial.slope <= (2.0 * kDecrease - 1.0) * line_.slope;
  }

  /// Searches between `low`, the lowest trial so far, and `high`.
  LineSearchResult narrow(Trial low, Trial high) {
    while (trials_ < kMostWolfeTrials || is_worthwhile(high.step - low.step)) {
      const bool is_usable = std::isfinite(high.value) && std::isfinite(high.slope);
      const double step = is_usable ? between(low, high) : 0.5 * (low.step + high.step);
      const Trial trial = look(step);
      if (is_good(trial)) return found(trial);
      if (!has_fallen(trial) || trial.value >= low.value) {
        high = trial;
        continue;
      }
      if (trial.slope * (high.step - low.step) >= 0.0) high = low;
      low = trial;
    }
    return {};
  }

  LineSearchResult found(const Trial& trial) {
    result_.is_found = true;
    result_.step = trial.step;
    result_.value = trial.value;
    return result_;
  }

  Objective& objective_;
  const Line& line_;
  double noise_;
  int trials_ = 0;
  LineSearchResult result_;
};

}  // namespace

LineSearchResult search_line(Objective& objective, const Line& line, double first_step) {
  return LineSearch(objective, line).run(first_step);
}

bool move_along(Objective& objective, const torch::Tensor& direction, double first_step,
                torch::Tensor& point, torch::Tensor& gradient, double& value) {
  const double slope = objective.dot(direction, gradient);
  if (!(slope < 0.0)) return false;
  const auto found = search_line(
      objective, {.point = point, .direction = direction, .value = value, .slope = slope},
      first_step);
  if (!found.is_found) return false;
  point = found.point;
  gradient = found.gradient;
  value = found.value;
  return true;
}

}  // namespace levin
