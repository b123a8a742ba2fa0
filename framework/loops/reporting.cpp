#include <levin/framework/loops/reporting.h>

#include <algorithm>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/framework/core/counted.h>

namespace levin {
namespace {

constexpr const char* kFewRows = "few rows of steps";  // a fact for Run::warn

/// Whether any of the loggers keeps the rows of steps.
bool any_keeps_steps(const std::vector<Logger*>& loggers) {
  return std::any_of(loggers.begin(), loggers.end(),
                     [](const Logger* logger) { return logger->keeps_steps(); });
}

/// Makes Run::logged_metrics show what the loggers were given.
void note_logged(const LoopParts& parts, const MetricMap& values) {
  if (parts.loggers.empty()) return;
  for (const auto& [name, value] : values) parts.run.known_logged()[name] = value;
}

}  // namespace

void warn_of_short_epochs(const LoopParts& parts, std::optional<int64_t> batches) {
  if (!batches || *batches == 0) return;
  const int64_t window = parts.options.accumulate_grad_batches;
  const int64_t steps = (*batches + window - 1) / window;
  const int64_t every = parts.options.log_every_n_steps;
  if (steps >= every || !any_keeps_steps(parts.loggers)) return;
  parts.run.warn(fmt::format("an epoch has {0}, fewer than log_every_n_steps = {1}, so "
                             "that values logged in steps, such as train_loss, get into the logs "
                             "of few epochs or of none; set log_every_n_steps to {2} or less to "
                             "see them in every epoch",
                             counted(steps, "step"), every, steps),
                 kFewRows);
}

void warn_of_evaluation_mode(const LoopParts& parts) {
  if (parts.module.is_training()) return;
  parts.run.warn(
      "the module is in evaluation mode and is trained in it: Dropout does nothing, and batch "
      "norms keep their statistics. Call train() of the module before fit, unless this is meant");
}

void warn_of_lost_values(const LoopParts& parts, const LoggedValues& metrics) {
  const auto lost = metrics.without_row();
  const int64_t every = parts.options.log_every_n_steps;
  if (lost.empty() || every == 0 || !any_keeps_steps(parts.loggers)) return;
  parts.run.warn(
      fmt::format("the loggers got no value of {}: with log_every_n_steps = {}, no row was written "
                  "between the first step that logged them and the end of the fit after {}. Lower "
                  "log_every_n_steps, or log them with on_epoch = true",
                  fmt::join(lost, ", "), every, counted(parts.run.global_step(), "step")),
      kFewRows);
}

void warn_that_nothing_was_trained(const LoopParts& parts, const std::string& reason,
                                   bool is_requested) {
  const bool by_callback = is_requested && reason != "max_steps";
  parts.run.warn(fmt::format(
      "nothing was trained: the checkpoint was taken after {} and {}, and {}",
      counted(parts.run.epoch(), "epoch"), counted(parts.run.global_step(), "step"),
      by_callback ? fmt::format("a callback ended the fit: {}", reason)
                  : fmt::format("{} ends the fit there; raise it to train on", reason)));
}

void log_scale(const LoopParts& parts, const GradientScaler& scaler) {
  parts.run.log("loss_scale", scaler.current_scale());
  parts.run.log("skipped_steps", static_cast<double>(scaler.skipped_steps()));
}

void log_step_values(const LoopParts& parts, LoggedValues& metrics, int64_t step) {
  log_row(parts, metrics.step_values(LoggedValues::For::logger), parts.run.epoch(), step);
}

void log_row(const LoopParts& parts, const MetricMap& values, int64_t epoch, int64_t step) {
  if (values.empty()) return;
  const ProfilePart profiled(parts.profiler, Part::loggers);
  for (Logger* logger : parts.loggers) logger->log_metrics(values, epoch, step);
  note_logged(parts, values);
}

MetricMap publish_epoch_values(const LoopParts& parts, LoggedValues& metrics) {
  parts.strategy.reduce(metrics);
  for (const auto& note : metrics.take_notes()) {
    if (!parts.run.progress().sanity_checking()) parts.run.warn(note);
  }
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
  note_logged(parts, values);
}

void observe_metrics(const LoopParts& parts, Schedules& schedules, Interval interval,
                     bool complete) {
  if (!schedules.watches(interval)) return;
  RunControl& run = parts.run;
  if (!schedules.reads_next(interval)) {
    return schedules.observe(interval, {}, nullptr, /*complete=*/false);
  }
  if (run.ranks().size() == 1) {
    const MetricMap& metrics = run.metrics();
    return schedules.observe(interval, metrics, &run.update_counts(), complete);
  }
  const auto shared = run.ranks().from_rank_zero("Schedules/metrics", [&] {
    Value both;
    both["metrics"] = to_value(run.metrics());
    both["updates"] = counts_to_value(run.update_counts());
    return both.to_json();
  });
  const Value both = Value::from_json(shared);
  const UpdateCounts updates = to_counts(both.at("updates"));
  schedules.observe(interval, to_metrics(both.at("metrics")), &updates, complete);
}

}  // namespace levin
