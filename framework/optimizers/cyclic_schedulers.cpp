#include <levin/framework/optimizers/cyclic_schedulers.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/checks.h>

namespace levin {

// --- one-cycle ---

Fields describe(OneCycleLROptions& o) {
  return fields_of<OneCycleLROptions>({
      {"max_lr", &o.max_lr, "the peak; null: the optimizer's rate"},
      {"total_steps", &o.total_steps, "epochs or steps of the whole cycle; must be given"},
      {"pct_start", &o.pct_start, "share of the cycle spent going up"},
      {"anneal_strategy", &o.anneal_strategy, "\"cos\" or \"linear\""},
      {"div_factor", &o.div_factor, "the first rate is the peak divided by this"},
      {"final_div_factor", &o.final_div_factor, "the last rate is the first divided by this"},
      {"three_phase", &o.three_phase, "down as slowly as up, then to the last rate"},
  });
}

OneCycleLR::OneCycleLR(OneCycleLROptions options) : options_(std::move(options)) {
  const auto& o = options_;
  if (o.max_lr) check_above_zero("max_lr", *o.max_lr);
  check_at_least_one("total_steps", o.total_steps);
  check_option(o.pct_start >= 0.0 && o.pct_start <= (o.three_phase ? 0.5 : 1.0), "pct_start",
               o.pct_start, "must be between 0 and 1, with three_phase between 0 and 0.5");
  if (o.anneal_strategy != "cos" && o.anneal_strategy != "linear") {
    throw ConfigError::invalid_value("anneal_strategy", o.anneal_strategy, "must be cos or linear");
  }
  check_above_zero("div_factor", o.div_factor);
  check_above_zero("final_div_factor", o.final_div_factor);
}

double OneCycleLR::factor(int64_t counter) const {
  const auto& o = options_;
  struct Phase {
    double end;  // counter at which the phase is over
    double from;
    double to;
  };
  const double total = static_cast<double>(o.total_steps);
  const double first = 1.0 / o.div_factor;
  const double last = first / o.final_div_factor;
  const double up = o.pct_start * total - 1.0;
  const std::array<Phase, 3> phases = {
      Phase{up, first, 1.0},
      o.three_phase ? Phase{2.0 * up, 1.0, first} : Phase{total - 1.0, 1.0, last},
      Phase{total - 1.0, first, last}};
  const double at = static_cast<double>(std::min(counter, o.total_steps - 1));
  double start = 0.0;
  size_t i = 0;
  while (i + 1 < (o.three_phase ? 3U : 2U) && at > phases[i].end) start = phases[i++].end;
  const auto& phase = phases[i];
  const double share = phase.end > start ? (at - start) / (phase.end - start) : 1.0;
  if (o.anneal_strategy == "linear") return phase.from + (phase.to - phase.from) * share;
  return phase.to + (phase.from - phase.to) / 2.0 * (1.0 + std::cos(std::numbers::pi * share));
}

double OneCycleLR::learning_rate(double base_learning_rate, int64_t counter) const {
  return options_.max_lr.value_or(base_learning_rate) * factor(counter);
}

// --- cyclic ---

Fields describe(CyclicLROptions& o) {
  return fields_of<CyclicLROptions>({
      {"base_lr", &o.base_lr, "the lowest rate; null: the optimizer's rate"},
      {"max_lr", &o.max_lr, "the highest rate; must be given"},
      {"step_size_up", &o.step_size_up, "epochs or steps from the lowest to the highest rate"},
      {"step_size_down", &o.step_size_down, "epochs or steps back down; null: as many as up"},
      {"mode", &o.mode, "\"triangular\", \"triangular2\" (halved each cycle) or \"exp_range\""},
      {"gamma", &o.gamma, "of exp_range: what each epoch or step multiplies the rise by"},
  });
}

CyclicLR::CyclicLR(CyclicLROptions options) : options_(std::move(options)) {
  const auto& o = options_;
  if (o.base_lr) check_at_least_zero("base_lr", *o.base_lr);
  check_option(std::isfinite(o.max_lr) && o.max_lr >= 0.0, "max_lr", o.max_lr,
               "must be given, at least 0");
  check_at_least_one("step_size_up", o.step_size_up);
  if (o.step_size_down) check_at_least_one("step_size_down", *o.step_size_down);
  if (o.mode != "triangular" && o.mode != "triangular2" && o.mode != "exp_range") {
    throw ConfigError::invalid_value("mode", o.mode,
                                     "must be triangular, triangular2 or exp_range");
  }
  check_above_zero("gamma", o.gamma);
}

double CyclicLR::factor(int64_t counter) const {
  const auto& o = options_;
  const int64_t down = o.step_size_down.value_or(o.step_size_up);
  const int64_t cycle = counter / (o.step_size_up + down);  // from 0
  const int64_t at = counter % (o.step_size_up + down);
  const double height =
      at <= o.step_size_up
          ? static_cast<double>(at) / static_cast<double>(o.step_size_up)
          : static_cast<double>(o.step_size_up + down - at) / static_cast<double>(down);
  if (o.mode == "triangular2") return height * std::exp2(-static_cast<double>(cycle));
  if (o.mode == "exp_range") return height * std::pow(o.gamma, static_cast<double>(counter));
  return height;
}

double CyclicLR::learning_rate(double base_learning_rate, int64_t counter) const {
  const double lowest = options_.base_lr.value_or(base_learning_rate);
  return lowest + (options_.max_lr - lowest) * factor(counter);
}

// --- cosine with restarts ---

Fields describe(CosineAnnealingWarmRestartsOptions& o) {
  return fields_of<CosineAnnealingWarmRestartsOptions>({
      {"T_0", &o.T_0, "epochs or steps until the first restart; must be given"},
      {"T_mult", &o.T_mult, "how many times as long as the one before a cycle is"},
      {"eta_min", &o.eta_min, "the lowest rate"},
  });
}

CosineAnnealingWarmRestarts::CosineAnnealingWarmRestarts(CosineAnnealingWarmRestartsOptions options)
    : options_(options) {
  check_at_least_one("T_0", options_.T_0);
  check_option(options_.T_mult >= 1, "T_mult", options_.T_mult, "must be at least 1");
  check_at_least_zero("eta_min", options_.eta_min);
}

double CosineAnnealingWarmRestarts::factor(int64_t counter) const {
  int64_t length = options_.T_0;
  int64_t at = counter;
  if (options_.T_mult == 1) {
    at %= length;
  } else {
    while (at >= length) {
      at -= length;
      if (length > std::numeric_limits<int64_t>::max() / options_.T_mult) break;
      length *= options_.T_mult;
    }
  }
  const double share = static_cast<double>(at) / static_cast<double>(length);
  return (1.0 + std::cos(std::numbers::pi * share)) / 2.0;
}

double CosineAnnealingWarmRestarts::learning_rate(double base_learning_rate,
                                                  int64_t counter) const {
  return options_.eta_min + (base_learning_rate - options_.eta_min) * factor(counter);
}

}  // namespace levin
