#include <levin/tuning/schedulers/pruner.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

void check_setting(const char* name, int64_t value, int64_t least) {
  if (value >= least) return;
  throw ConfigError::invalid_value(name, std::to_string(value),
                                   fmt::format("must be at least {}", least));
}

bool is_upward(const Study& study) {
  if (study.directions.size() != 1) {
    throw ConfigError(fmt::format(
        "study '{}' has {} objectives; trials can be stopped early only if there is one",
        study.name, study.directions.size()));
  }
  return study.directions[0] == StudyDirection::maximize;
}

/// Whether the trial has reported nothing between the last step at which a decision was due and
/// this one.
bool is_first_in_interval(const Trial& trial, int64_t step, int64_t warmup, int64_t interval) {
  const int64_t due = (step - warmup) / interval * interval + warmup;
  int64_t before = -1;
  for (const auto& [other, ignored] : trial.intermediate_values) {
    if (other != step) before = std::max(before, other);
  }
  return before < due;
}

/// The best of the values that aren't NaN; NaN if there is none.
template <class Iterator>
double best_value(Iterator begin, Iterator end, bool up) {
  double best = std::numeric_limits<double>::quiet_NaN();
  for (; begin != end; ++begin) {
    const double value = begin->second;
    if (std::isnan(value)) continue;
    if (std::isnan(best) || (up ? value > best : value < best)) best = value;
  }
  return best;
}

/// numpy.nanpercentile, which interpolates linearly; NaN without values.
double percentile_of(std::vector<double> values, double percentile) {
  values.erase(std::remove_if(values.begin(), values.end(), [](double v) { return std::isnan(v); }),
               values.end());
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::sort(values.begin(), values.end());
  const double place = percentile / 100.0 * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, values.size() - 1);
  const double share = place - static_cast<double>(below);
  const double difference = values[above] - values[below];
  if (share == 0.0 || values[above] == values[below]) return values[below];
  // From the nearer end, as numpy does.
  return share < 0.5 ? values[below] + difference * share
                     : values[above] - difference * (1.0 - share);
}

}  // namespace

PercentilePruner::PercentilePruner(PercentileOptions options) : options_(options) {
  if (!(options_.percentile >= 0.0 && options_.percentile <= 100.0)) {
    throw ConfigError::invalid_value("percentile", fmt::format("{}", options_.percentile),
                                     "must be from 0 to 100");
  }
  check_setting("startup_trials", options_.startup_trials, 0);
  check_setting("warmup_steps", options_.warmup_steps, 0);
  check_setting("interval_steps", options_.interval_steps, 1);
  check_setting("min_trials", options_.min_trials, 1);
}

PruningDecision PercentilePruner::decide(const Study& study, const Trial& trial) const {
  const bool up = is_upward(study);
  const auto step = trial.last_step();
  if (!step || *step < options_.warmup_steps ||
      !is_first_in_interval(trial, *step, options_.warmup_steps, options_.interval_steps)) {
    return {};
  }
  int64_t complete = 0;
  std::vector<double> values;
  for (const Trial& other : study.trials) {
    if (other.state != TrialState::complete) continue;
    ++complete;
    const auto found = other.intermediate_values.find(*step);
    if (found != other.intermediate_values.end()) values.push_back(found->second);
  }
  if (complete == 0 || complete < options_.startup_trials) return {};
  const double best =
      best_value(trial.intermediate_values.begin(), trial.intermediate_values.end(), up);
  if (std::isnan(best)) return {true, {}};
  if (static_cast<int64_t>(values.size()) < options_.min_trials) return {};
  const double limit =
      percentile_of(std::move(values), up ? 100.0 - options_.percentile : options_.percentile);
  return {up ? best < limit : best > limit, {}};  // false if the limit is NaN
}

PatientPruner::PatientPruner(std::unique_ptr<Pruner> wrapped, int64_t patience, double min_delta)
    : wrapped_(std::move(wrapped)), patience_(patience), min_delta_(min_delta) {
  check_setting("patience", patience, 0);
  if (!(min_delta >= 0.0)) {
    throw ConfigError::invalid_value("min_delta", fmt::format("{}", min_delta),
                                     "must be at least 0");
  }
}

PruningDecision PatientPruner::decide(const Study& study, const Trial& trial) const {
  const bool up = is_upward(study);
  const auto& values = trial.intermediate_values;
  const auto count = static_cast<int64_t>(values.size());
  if (count <= patience_ + 1) return {};
  const auto middle = std::next(values.begin(), count - patience_ - 1);
  const double before = best_value(values.begin(), middle, up);
  const double after = best_value(middle, values.end(), up);
  const bool is_stuck = up ? before - min_delta_ > after : before + min_delta_ < after;
  if (!is_stuck) return {};
  return wrapped_ ? wrapped_->decide(study, trial) : PruningDecision{true, {}};
}

ThresholdPruner::ThresholdPruner(std::optional<double> lower, std::optional<double> upper,
                                 int64_t warmup_steps, int64_t interval_steps)
    : lower_(lower.value_or(-kInfinity)),
      upper_(upper.value_or(kInfinity)),
      warmup_steps_(warmup_steps),
      interval_steps_(interval_steps) {
  if (!lower && !upper) throw ConfigError("a threshold needs a lower or an upper bound");
  if (!(lower_ <= upper_)) {
    throw ConfigError(fmt::format("lower = {}: must be at most upper = {}", lower_, upper_));
  }
  check_setting("warmup_steps", warmup_steps_, 0);
  check_setting("interval_steps", interval_steps_, 1);
}

PruningDecision ThresholdPruner::decide(const Study& /*study*/, const Trial& trial) const {
  const auto step = trial.last_step();
  if (!step || *step < warmup_steps_ ||
      !is_first_in_interval(trial, *step, warmup_steps_, interval_steps_)) {
    return {};
  }
  const double value = trial.intermediate_values.rbegin()->second;
  return {!(value >= lower_ && value <= upper_), {}};
}

}  // namespace levin
