#pragma once

#include <string>

#include <levin/framework/core/options.h>
#include <levin/framework/optimizers/optimizers.h>

namespace levin {

/// The settings that `lr_scheduler` has besides its class and the class's own.
struct ScheduleSettings {
  /// `schedule.interval` as a word, which isn't checked.
  std::string interval = "epoch";
  ScheduleOptions schedule{};
};

/// The settings with their names; `settings` must outlive them.
inline Fields describe(ScheduleSettings& settings) {
  ScheduleOptions& schedule = settings.schedule;
  return {
      {"interval", &settings.interval, "whether the scheduler counts \"epoch\"s or \"step\"s"},
      {"frequency", &schedule.frequency, "the scheduler acts once in this many epochs or steps"},
      {"monitor", &schedule.monitor, "the metric a plateau scheduler watches"},
      {"strict", &schedule.strict, "whether a missing monitor is an error"},
      {"name", &schedule.name, "what LearningRateMonitor calls the learning rate; \"\": lr-Adam"}};
}

}  // namespace levin
