#include <levin/framework/optimizers/optimizers.h>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/checks.h>

namespace levin {

void Optimizers::add(std::unique_ptr<Optimizer> optimizer) {
  if (optimizer == nullptr) {
    throw ConfigError::invalid_value("optimizer", "null",
                                     "must point to an optimizer; leave it out for none");
  }
  entries_.push_back({std::move(optimizer), {}});
}

void Optimizers::add_scheduler(std::unique_ptr<Scheduler> scheduler, ScheduleOptions options) {
  if (entries_.empty()) {
    throw ConfigError::conflict("a scheduler was added before any optimizer",
                                "add the optimizer first");
  }
  if (scheduler == nullptr) {
    throw ConfigError::invalid_value("scheduler", "null",
                                     "must point to a scheduler; leave it out for none");
  }
  check_option(options.frequency >= 1, "frequency", options.frequency, "must be at least 1");
  if (scheduler->needs_metric() && options.monitor.empty()) {
    throw ConfigError::conflict("the scheduler watches a metric, but no monitor is given",
                                "set monitor to the name of a logged metric, such as val_loss");
  }
  entries_.back().schedulers.push_back({std::move(scheduler), options.interval, options.frequency,
                                        std::move(options.monitor), options.strict,
                                        std::move(options.name)});
}

}  // namespace levin
