#include <levin/framework/loops/reporting.h>

#include <algorithm>

namespace levin {

void log_step_values(const LoopParts& parts, LoggedValues& metrics, int64_t step) {
  const MetricMap values = metrics.step_values(LoggedValues::For::logger);
  if (values.empty()) return;
  const ProfilePart profiled(parts.profiler, Part::loggers);
  for (Logger* logger : parts.loggers) logger->log_metrics(values, parts.run.epoch(), step);
}

MetricMap publish_epoch_values(const LoopParts& parts, LoggedValues& metrics) {
  parts.strategy.reduce(metrics);
  const MetricMap values = metrics.epoch_values(LoggedValues::For::callbacks);
  for (const auto& [name, value] : values) parts.run.known_metrics()[name] = value;
  for (const auto& [name, value] : metrics.epoch_values(LoggedValues::For::progress_bar)) {
    parts.run.known_progress_bar()[name] = value;
  }
  return values;
}

void log_epoch_values(const LoopParts& parts, LoggedValues& metrics) {
  const MetricMap values = metrics.epoch_values(LoggedValues::For::logger);
  if (values.empty()) return;
  const ProfilePart profiled(parts.profiler, Part::loggers);
  const int64_t step = std::max<int64_t>(parts.run.global_step() - 1, 0);
  for (Logger* logger : parts.loggers) {
    logger->log_epoch_metrics(values, parts.run.epoch(), step);
  }
}

void observe_metrics(const LoopParts& parts, Schedules& schedules, Interval interval) {
  if (!schedules.watches(interval)) return;
  const auto shared = parts.run.ranks().from_rank_zero(
      "Schedules/metrics", [&] { return to_value(parts.run.metrics()).to_json(); });
  schedules.observe(interval, to_metrics(Value::from_json(shared)));
}

}  // namespace levin
