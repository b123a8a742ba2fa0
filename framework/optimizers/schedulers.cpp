#include <levin/framework/optimizers/schedulers.h>

#include <algorithm>
#include <array>
#include <cmath>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/checks.h>

namespace levin {
namespace {

constexpr double kPi = 3.14159265358979323846;

void check_at_least_one(std::string_view option, int64_t value) {
  check_option(value >= 1, option, value, "must be given, at least 1");
}

}  // namespace

// --- step ---

Fields describe(StepLROptions& o) {
  return fields_of<StepLROptions>({
      {"step_size", &o.step_size, "epochs or steps between two drops; must be given"},
      {"gamma", &o.gamma, "what a drop multiplies the rate by"},
  });
}

StepLR::StepLR(StepLROptions options) : options_(options) {
  check_at_least_one("step_size", options_.step_size);
  check_at_least_zero("gamma", options_.gamma);
}

double StepLR::factor(int64_t counter) const {
  return std::pow(options_.gamma, static_cast<double>(counter / options_.step_size));
}

// --- multi-step ---

Fields describe(MultiStepLROptions& o) {
  return fields_of<MultiStepLROptions>({
      {"milestones", &o.milestones, "counters at which the rate drops; must be given"},
      {"gamma", &o.gamma, "what a drop multiplies the rate by"},
  });
}

MultiStepLR::MultiStepLR(MultiStepLROptions options) : options_(std::move(options)) {
  auto& milestones = options_.milestones;
  if (milestones.empty()) {
    throw ConfigError::invalid_value("milestones", "[]", "must be given, at least one");
  }
  check_at_least_zero("gamma", options_.gamma);
  std::sort(milestones.begin(), milestones.end());
  check_at_least_one("milestones", milestones.front());
}

double MultiStepLR::factor(int64_t counter) const {
  const auto& milestones = options_.milestones;
  const auto reached =
      std::upper_bound(milestones.begin(), milestones.end(), counter) - milestones.begin();
  return std::pow(options_.gamma, static_cast<double>(reached));
}

// --- exponential ---

Fields describe(ExponentialLROptions& o) {
  return fields_of<ExponentialLROptions>(
      {{"gamma", &o.gamma, "what each epoch or step multiplies the rate by; must be given"}});
}

ExponentialLR::ExponentialLR(ExponentialLROptions options) : options_(options) {
  check_option(std::isfinite(options_.gamma) && options_.gamma > 0.0, "gamma", options_.gamma,
               "must be given, above 0");
}

double ExponentialLR::factor(int64_t counter) const {
  return std::pow(options_.gamma, static_cast<double>(counter));
}

// --- cosine ---

Fields describe(CosineAnnealingLROptions& o) {
  return fields_of<CosineAnnealingLROptions>({
      {"T_max", &o.T_max, "epochs or steps from the first rate to the lowest; must be given"},
      {"eta_min", &o.eta_min, "the lowest rate"},
  });
}

CosineAnnealingLR::CosineAnnealingLR(CosineAnnealingLROptions options) : options_(options) {
  check_at_least_one("T_max", options_.T_max);
  check_at_least_zero("eta_min", options_.eta_min);
}

double CosineAnnealingLR::factor(int64_t counter) const {
  const double share = static_cast<double>(counter) / static_cast<double>(options_.T_max);
  return (1.0 + std::cos(kPi * share)) / 2.0;
}

double CosineAnnealingLR::learning_rate(double base_learning_rate, int64_t counter) const {
  return options_.eta_min + (base_learning_rate - options_.eta_min) * factor(counter);
}

// --- linear ---

Fields describe(LinearLROptions& o) {
  return fields_of<LinearLROptions>({
      {"start_factor", &o.start_factor, "what the rate is multiplied by at first"},
      {"end_factor", &o.end_factor, "and in the end"},
      {"total_iters", &o.total_iters, "epochs or steps from one to the other"},
  });
}

LinearLR::LinearLR(LinearLROptions options) : options_(options) {
  const auto& o = options_;
  check_option(o.start_factor > 0.0 && o.start_factor <= 1.0, "start_factor", o.start_factor,
               "must be above 0 and at most 1");
  check_option(o.end_factor >= 0.0 && o.end_factor <= 1.0, "end_factor", o.end_factor,
               "must be at least 0 and at most 1");
  check_at_least_one("total_iters", o.total_iters);
}

double LinearLR::factor(int64_t counter) const {
  const double share = static_cast<double>(std::min(counter, options_.total_iters)) /
                       static_cast<double>(options_.total_iters);
  return options_.start_factor + (options_.end_factor - options_.start_factor) * share;
}

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
  return phase.to + (phase.from - phase.to) / 2.0 * (1.0 + std::cos(kPi * share));
}

double OneCycleLR::learning_rate(double base_learning_rate, int64_t counter) const {
  return options_.max_lr.value_or(base_learning_rate) * factor(counter);
}

// --- sequence ---

SequentialLR::SequentialLR(std::vector<int64_t> milestones,
                           std::vector<std::unique_ptr<Scheduler>> schedulers)
    : milestones_(std::move(milestones)), schedulers_(std::move(schedulers)) {
  if (schedulers_.size() != milestones_.size() + 1) {
    throw ConfigError::conflict("SequentialLR needs one milestone less than it has schedulers",
                                "give the counter at which each scheduler but the first starts");
  }
  int64_t previous = 0;
  for (const int64_t milestone : milestones_) {
    check_option(milestone > previous, "milestones", milestone, "must be above 0 and increase");
    previous = milestone;
  }
  for (const auto& scheduler : schedulers_) {
    if (scheduler == nullptr || scheduler->needs_metric()) {
      throw ConfigError::conflict("SequentialLR takes functions of the counter only",
                                  "leave out null and schedulers that watch a metric");
    }
  }
}

std::pair<const Scheduler*, int64_t> SequentialLR::at(int64_t counter) const {
  const auto passed =
      std::upper_bound(milestones_.begin(), milestones_.end(), counter) - milestones_.begin();
  const auto index = static_cast<size_t>(passed);
  return {schedulers_[index].get(), counter - (index == 0 ? 0 : milestones_[index - 1])};
}

double SequentialLR::factor(int64_t counter) const {
  const auto [scheduler, own_counter] = at(counter);
  return scheduler->factor(own_counter);
}

double SequentialLR::learning_rate(double base_learning_rate, int64_t counter) const {
  const auto [scheduler, own_counter] = at(counter);
  return scheduler->learning_rate(base_learning_rate, own_counter);
}

}  // namespace levin
