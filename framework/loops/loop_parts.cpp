#include <levin/framework/loops/loop_parts.h>

#include <algorithm>

#include <c10/util/Exception.h>
#include <fmt/format.h>

namespace levin {

void log_step_values(const LoopParts& parts, const MetricMap& metrics, int64_t step) {
  if (metrics.empty()) return;
  const ProfilePart profiled(parts.profiler, Part::loggers);
  for (Logger* logger : parts.loggers) logger->log_metrics(metrics, parts.run.epoch(), step);
}

void log_epoch_values(const LoopParts& parts, const MetricMap& metrics) {
  if (metrics.empty()) return;
  const ProfilePart profiled(parts.profiler, Part::loggers);
  const int64_t step = std::max<int64_t>(parts.run.global_step() - 1, 0);
  for (Logger* logger : parts.loggers) {
    logger->log_epoch_metrics(metrics, parts.run.epoch(), step);
  }
}

bool next_batch(const LoopParts& parts, Reader& reader, Batch& batch) {
  const ProfilePart profiled(parts.profiler, Part::data);
  return reader.next(batch);
}

void transfer(const LoopParts& parts, Batch& batch) {
  const ProfilePart profiled(parts.profiler, Part::transfer);
  parts.data.on_before_batch_transfer(batch);
  parts.module.on_before_batch_transfer(batch);
  parts.strategy.to_device(batch);
  parts.data.on_after_batch_transfer(batch);
  parts.module.on_after_batch_transfer(batch);
}

void rethrow_with_place(const Run& run) {
  try {
    throw;
  } catch (c10::Error& error) {
    error.add_context(fmt::format("in {} at epoch {}, step {}, batch {}, rank {}",
                                  stage_name(run.stage()), run.epoch(), run.global_step(),
                                  run.progress().batch, run.ranks().rank()));
    throw;
  }
}

}  // namespace levin
