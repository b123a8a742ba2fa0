#include <levin/callbacks/swa_rates.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include <levin/callbacks/stochastic_weight_averaging.h>
#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/optimizers.h>
#include <levin/framework/run/run.h>

namespace levin {
namespace {

/// How far the rates have come after `passed` epochs of the phase, from 0 to 1.
double annealed_share(const StochasticWeightAveragingOptions& options, int64_t passed) {
  if (options.annealing_epochs == 0) return 1.0;
  const auto span = static_cast<double>(options.annealing_epochs);
  const double t = std::clamp(static_cast<double>(passed) / span, 0.0, 1.0);
  return options.annealing_strategy == "cos" ? (1.0 - std::cos(std::numbers::pi * t)) / 2.0 : t;
}

}  // namespace

void SwaRates::check(const StochasticWeightAveragingOptions& options, Run& run) const {
  for (const auto& entry : run.optimizers().entries()) {
    const size_t groups = entry.optimizer->groups().size();
    if (options.swa_lrs.size() == 1 || options.swa_lrs.size() == groups) continue;
    throw ConfigError::invalid_value(
        "StochasticWeightAveraging.swa_lrs", fmt::format("a list of {}", options.swa_lrs.size()),
        fmt::format("must be one learning rate, or one for each of the {} parameter groups",
                    groups));
  }
}

void SwaRates::set(const StochasticWeightAveragingOptions& options, int64_t passed, Run& run) {
  const double share = annealed_share(options, passed);
  size_t i = 0;
  for (const auto& entry : run.optimizers().entries()) {
    const auto& groups = entry.optimizer->groups();
    for (size_t group = 0; group < groups.size(); ++group, ++i) {
      if (before_.size() <= i) before_.push_back(groups[group].learning_rate);
      const double goal = options.swa_lrs[options.swa_lrs.size() == 1 ? 0 : group];
      const double rate = goal * share + before_[i] * (1.0 - share);
      if (groups[group].learning_rate != rate) entry.optimizer->set_learning_rate(rate, group);
    }
  }
}

void SwaRates::load_values(const Value::Array& values) {
  before_.clear();
  for (const Value& rate : values) before_.push_back(rate.as_double());
}

}  // namespace levin
