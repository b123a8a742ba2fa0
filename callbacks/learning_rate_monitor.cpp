#include <levin/callbacks/learning_rate_monitor.h>

#include <fmt/format.h>
#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/optimizers.h>
#include <levin/framework/run/step.h>

#include <algorithm>
#include <map>

namespace levin {

Fields describe(LearningRateMonitorOptions& o) {
  return fields_of<LearningRateMonitorOptions>({
      {"logging_interval", &o.logging_interval,
       "log every step or every epoch; null: as often as the schedulers change the rate"},
  });
}

LearningRateMonitor::LearningRateMonitor(LearningRateMonitorOptions options)
    : options_(std::move(options)) {
  const auto& interval = options_.logging_interval;
  if (interval && *interval != "step" && *interval != "epoch") {
    throw ConfigError::invalid_value("LearningRateMonitor.logging_interval", *interval,
                                     "must be step, epoch or null");
  }
}

void LearningRateMonitor::on_train_start(Run& run) {
  by_step_.clear();
  by_epoch_.clear();
  std::map<std::string, int64_t> seen;
  for (const auto& entry : run.optimizers().entries()) {
    const auto& optimizer = *entry.optimizer;
    std::string name = "lr-" + optimizer.name();
    if (const int64_t count = seen[name]++; count > 0) name += fmt::format("-{}", count);
    const bool steps = std::any_of(
        entry.schedulers.begin(), entry.schedulers.end(),
        [](const SchedulerConfig& config) { return config.interval == Interval::step; });
    const bool by_step = options_.logging_interval ? *options_.logging_interval == "step" : steps;
    auto& rates = by_step ? by_step_ : by_epoch_;
    const size_t groups = optimizer.groups().size();
    for (size_t i = 0; i < groups; ++i) {
      rates.push_back({groups == 1 ? name : fmt::format("{}/pg{}", name, i + 1), &optimizer, i});
    }
  }
}

void LearningRateMonitor::on_train_epoch_start(Run& run) {
  for (const auto& rate : by_epoch_) {
    run.log(rate.name, rate.optimizer->groups()[rate.group].learning_rate);
  }
}

void LearningRateMonitor::on_before_optimizer_step(Optimizer& optimizer, Step& step) {
  for (const auto& rate : by_step_) {
    if (rate.optimizer != &optimizer) continue;
    step.log(rate.name, optimizer.groups()[rate.group].learning_rate,
             {.on_step = true, .on_epoch = false});
  }
}

void LearningRateMonitor::on_train_end(Run&) {
  by_step_.clear();
  by_epoch_.clear();
}

}  // namespace levin
