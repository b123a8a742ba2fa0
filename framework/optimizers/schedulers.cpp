#include <levin/framework/optimizers/schedulers.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/checks.h>

namespace levin {
namespace {

constexpr double kPi = 3.14159265358979323846;

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

// --- constant ---

Fields describe(ConstantLROptions& o) {
  return fields_of<ConstantLROptions>({
      {"factor", &o.factor, "what the rate is multiplied by at first"},
      {"total_iters", &o.total_iters, "for how many epochs or steps"},
  });
}

ConstantLR::ConstantLR(ConstantLROptions options) : options_(options) {
  check_option(options_.factor >= 0.0 && options_.factor <= 1.0, "factor", options_.factor,
               "must be at least 0 and at most 1");
  check_at_least_one("total_iters", options_.total_iters);
}

double ConstantLR::factor(int64_t counter) const {
  return counter < options_.total_iters ? options_.factor : 1.0;
}

// --- polynomial ---

Fields describe(PolynomialLROptions& o) {
  return fields_of<PolynomialLROptions>({
      {"total_iters", &o.total_iters, "epochs or steps until the rate is 0"},
      {"power", &o.power, "the exponent; 1: a straight line"},
  });
}

PolynomialLR::PolynomialLR(PolynomialLROptions options) : options_(options) {
  check_at_least_one("total_iters", options_.total_iters);
  check_above_zero("power", options_.power);
}

double PolynomialLR::factor(int64_t counter) const {
  const double share = static_cast<double>(std::min(counter, options_.total_iters)) /
                       static_cast<double>(options_.total_iters);
  return std::pow(1.0 - share, options_.power);
}

// --- a function ---

LambdaLR::LambdaLR(std::function<double(int64_t counter)> factor) : factor_(std::move(factor)) {
  if (!factor_) {
    throw ConfigError::invalid_value("factor", "an empty function",
                                     "LambdaLR needs a function of the counter");
  }
}

}  // namespace levin
