#include <levin/callbacks/learning_rate_monitor.h>

#include <fmt/format.h>
#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/has_momentum.h>
#include <levin/framework/optimizers/optimizers.h>
#include <levin/framework/run/step.h>

#include <algorithm>
#include <map>

namespace levin {

Fields describe(LearningRateMonitorOptions& o) {
  return fields_of<LearningRateMonitorOptions>({
      {"logging_interval", &o.logging_interval,
       "log every step or every epoch; null: as often as the schedulers change the rate"},
      {"log_momentum", &o.log_momentum, "also log the momentum of each group"},
      {"log_weight_decay", &o.log_weight_decay, "also log the weight decay of each group"},
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
    for (const auto& config : entry.schedulers) {
      if (config.name.empty()) continue;
      name = config.name;
      break;
    }
    if (const int64_t count = seen[name]++; count > 0) name += fmt::format("-{}", count);
    const bool steps = std::any_of(
        entry.schedulers.begin(), entry.schedulers.end(),
        [](const SchedulerConfig& config) { return config.interval == Interval::step; });
    const bool by_step = options_.logging_interval ? *options_.logging_interval == "step" : steps;
    auto& rates = by_step ? by_step_ : by_epoch_;
    const size_t groups = optimizer.groups().size();
    for (size_t i = 0; i < groups; ++i) {
      const std::string own = groups == 1 ? name : fmt::format("{}/pg{}", name, i + 1);
      rates.push_back({own, &optimizer, i, own + "-momentum", own + "-weight_decay"});
    }
  }
}

std::optional<double> LearningRateMonitor::momentum_of(const Rate& rate) const {
  const auto* has_momentum = dynamic_cast<const HasMomentum*>(rate.optimizer);
  return has_momentum == nullptr ? std::nullopt : has_momentum->momentum(rate.group);
}

template <class Log>
void LearningRateMonitor::log_all(const Rate& rate, const Log& log) const {
  const auto& group = rate.optimizer->groups()[rate.group];
  log(rate.name, group.learning_rate);
  if (options_.log_momentum) log(rate.momentum_name, momentum_of(rate).value_or(0.0));
  if (options_.log_weight_decay) log(rate.weight_decay_name, group.weight_decay);
}

void LearningRateMonitor::on_train_epoch_start(Run& run) {
  for (const auto& rate : by_epoch_) {
    log_all(rate, [&](const std::string& name, double value) { run.log(name, value); });
  }
}

void LearningRateMonitor::on_before_optimizer_step(Optimizer& optimizer, Step& step) {
  for (const auto& rate : by_step_) {
    if (rate.optimizer != &optimizer) continue;
    log_all(rate, [&](const std::string& name, double value) {
      step.log(name, value, {.on_step = true, .on_epoch = false});
    });
  }
}

void LearningRateMonitor::on_train_end(Run&) {
  by_step_.clear();
  by_epoch_.clear();
}

}  // namespace levin
