#include <levin/framework/optimizers/plateau.h>

#include <algorithm>
#include <cmath>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/checks.h>

namespace levin {

Fields describe(ReduceLROnPlateauOptions& o) {
  return fields_of<ReduceLROnPlateauOptions>({
      {"mode", &o.mode, "\"min\" or \"max\": which way the metric gets better"},
      {"factor", &o.factor, "what a reduction multiplies the rate by"},
      {"patience", &o.patience, "values without improvement that are let pass"},
      {"threshold", &o.threshold, "how much better a value must be to count"},
      {"threshold_mode", &o.threshold_mode, "\"rel\" (a share of the best value) or \"abs\""},
      {"cooldown", &o.cooldown, "values after a reduction that don't count"},
      {"min_lr", &o.min_lr, "the lowest rate"},
      {"eps", &o.eps, "changes of the rate smaller than this are left out"},
  });
}

ReduceLROnPlateau::ReduceLROnPlateau(ReduceLROnPlateauOptions options)
    : options_(std::move(options)) {
  const auto& o = options_;
  if (o.mode != "min" && o.mode != "max") {
    throw ConfigError::invalid_value("mode", o.mode, "must be min or max");
  }
  check_option(o.factor > 0.0 && o.factor < 1.0, "factor", o.factor, "must be between 0 and 1");
  check_option(o.patience >= 0, "patience", o.patience, "must be at least 0");
  check_at_least_zero("threshold", o.threshold);
  if (o.threshold_mode != "rel" && o.threshold_mode != "abs") {
    throw ConfigError::invalid_value("threshold_mode", o.threshold_mode, "must be rel or abs");
  }
  check_option(o.cooldown >= 0, "cooldown", o.cooldown, "must be at least 0");
  check_at_least_zero("min_lr", o.min_lr);
  check_at_least_zero("eps", o.eps);
  best_ = std::numeric_limits<double>::infinity() * (o.mode == "min" ? 1.0 : -1.0);
}

double ReduceLROnPlateau::factor(int64_t /*counter*/) const {
  return std::pow(options_.factor, static_cast<double>(reductions_));
}

double ReduceLROnPlateau::learning_rate(double base_learning_rate, int64_t /*counter*/) const {
  double rate = base_learning_rate;
  for (int64_t i = 0; i < reductions_; ++i) {
    const double lower = std::max(rate * options_.factor, options_.min_lr);
    if (rate - lower <= options_.eps) break;
    rate = lower;
  }
  return rate;
}

bool ReduceLROnPlateau::is_better(double metric) const {
  const double sign = options_.mode == "min" ? 1.0 : -1.0;
  if (options_.threshold_mode == "rel") {
    return sign * metric < sign * best_ * (1.0 - sign * options_.threshold);
  }
  return sign * metric < sign * best_ - options_.threshold;
}

void ReduceLROnPlateau::observe(double metric) {
  if (is_better(metric)) {
    best_ = metric;
    num_bad_ = 0;
  } else {
    ++num_bad_;
  }
  if (cooldown_left_ > 0) {
    --cooldown_left_;
    num_bad_ = 0;
  }
  if (num_bad_ > options_.patience) {
    ++reductions_;
    cooldown_left_ = options_.cooldown;
    num_bad_ = 0;
  }
}

StateDict ReduceLROnPlateau::state_dict() const {
  StateDict state;
  state.values = Value::Object{{"mode", options_.mode},
                               {"best", best_},
                               {"num_bad", num_bad_},
                               {"cooldown_left", cooldown_left_},
                               {"reductions", reductions_}};
  return state;
}

void ReduceLROnPlateau::load_state_dict(const StateDict& state) {
  reductions_ = state.values.at("reductions").as_int();
  cooldown_left_ = state.values.at("cooldown_left").as_int();
  const double best = state.values.at("best").as_double();
  const int64_t num_bad = state.values.at("num_bad").as_int();
  // The best value of the other mode would be the worst one here.
  if (state.values.contains("mode") && state.values.at("mode").as_string() != options_.mode) return;
  best_ = best;
  num_bad_ = num_bad;
}

}  // namespace levin
