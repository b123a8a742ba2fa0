#include <levin/framework/loops/reporting.h>

#include <algorithm>

#include <fmt/format.h>

#include <levin/framework/core/counted.h>
#include <levin/framework/core/diagnostics.h>

namespace levin {

void warn_of_short_epochs(const LoopParts& parts, std::optional<int64_t> batches) {
  if (!batches || *batches == 0) return;
  const int64_t window = parts.options.accumulate_grad_batches;
  const int64_t steps = (*batches + window - 1) / window;
  const int64_t every = parts.options.log_every_n_steps;
  const bool is_kept = std::any_of(parts.loggers.begin(), parts.loggers.end(),
                                   [](const Logger* logger) { return logger->keeps_steps(); });
  if (steps >= every || !is_kept) return;
  diagnostics::print(
      fmt::format("warning: an epoch has {}, fewer than log_every_n_steps = {}, so "
                  "that values logged in steps, such as train_loss, get into the logs of "
                  "few epochs or of none; set log_every_n_steps to {} or less to see them "
                  "in every epoch\n",
                  counted(steps, "step"), every, steps));
}

void log_step_values(const LoopParts& parts, LoggedValues& metrics, int64_t step) {
  const MetricMap values = metrics.step_values(LoggedValues::For::logger);
  if (values.empty()) return;
  const ProfilePart profiled(parts.profiler, Part::loggers);
  for (Logger* logger : parts.loggers) logger->log_metrics(values, parts.run.epoch(), step);
}

MetricMap publish_epoch_values(const LoopParts& parts, LoggedValues& metrics) {
  parts.strategy.reduce(metrics);
  const MetricMap values = metrics.epoch_values(LoggedValues::For::callbacks);
  parts.run.take_metrics(values);
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

void observe_metrics(const LoopParts& parts, Schedules& schedules, Interval interval,
                     bool complete) {
  if (!schedules.watches(interval)) return;
  const auto shared = parts.run.ranks().from_rank_zero("Schedules/metrics", [&] {
    Value both;
    both["metrics"] = to_value(parts.run.metrics());
    both["updates"] = counts_to_value(parts.run.update_counts());
    return both.to_json();
  });
  const Value both = Value::from_json(shared);
  const UpdateCounts updates = to_counts(both.at("updates"));
  schedules.observe(interval, to_metrics(both.at("metrics")), &updates, complete);
}

}  // namespace levin
