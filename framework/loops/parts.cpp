#include <levin/framework/loops/parts.h>

#include <algorithm>

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <levin/framework/error.h>

namespace levin {

HookList::HookList(const std::vector<Entry>& callbacks, Module& module, Profiler* profiler)
    : profiler_(profiler) {
  std::vector<Entry> ordered = callbacks;
  std::stable_sort(ordered.begin(), ordered.end(), [](const Entry& a, const Entry& b) {
    return a.first->order() < b.first->order();
  });
  std::vector<std::pair<Hooks*, HookSet>> all;
  for (const auto& [callback, used] : ordered) {
    const bool monitors = callback->order() != Callback::Order::normal;
    if (monitors && monitors_.empty()) all.emplace_back(&module, HookSet::all());
    (monitors ? monitors_ : before_).push_back(callback);
    all.emplace_back(callback, used);
  }
  if (monitors_.empty()) all.emplace_back(&module, HookSet::all());
  before_.push_back(&module);
  for (size_t hook = 0; hook < batch_.size(); ++hook) {
    for (const auto& [one, used] : all) {
      if (used.has(static_cast<BatchHook>(hook))) batch_[hook].push_back(one);
    }
  }
}

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

std::optional<int64_t> limited(std::string_view option, const CountOrFraction& limit,
                               std::optional<int64_t> available) {
  if (limit.is_count()) {
    return available ? std::min(limit.count(), *available) : limit.count();
  }
  if (limit.fraction() == 1.0) return available;
  if (limit.fraction() == 0.0) return 0;
  if (!available) {
    throw ConfigError::invalid_value(option, fmt::format("{}", limit.fraction()),
                                     "the loader's length isn't known; give a whole number");
  }
  const auto batches = static_cast<int64_t>(static_cast<double>(*available) * limit.fraction());
  if (batches == 0) {
    throw ConfigError::invalid_value(
        option, fmt::format("{}", limit.fraction()),
        fmt::format("that fraction of {} batches is less than one batch", *available));
  }
  return batches;
}

bool is_off(const CountOrFraction& limit) {
  return limit.is_count() ? limit.count() == 0 : limit.fraction() == 0.0;
}

void rethrow_with_place(const Run& run) {
  try {
    throw;
  } catch (c10::Error& error) {
    error.add_context(fmt::format("in {} at epoch {}, step {}, batch {}, rank {}",
                                  stage_name(run.stage()), run.epoch(), run.global_step(),
                                  run.progress().batch, run.rank()));
    throw;
  }
}

}  // namespace levin
