#include <levin/framework/loops/loop_parts.h>

#include <algorithm>
#include <limits>

#include <levin/framework/core/error.h>
#include <levin/framework/data/training_data.h>
#include <levin/framework/loops/limits.h>
#include <levin/framework/loops/stopping.h>
#include <levin/framework/tensor/device.h>

namespace levin {

std::optional<int64_t> num_training_batches(const LoopParts& parts, const DataLoaders& train) {
  const auto batches = limited("limit_train_batches", parts.options.limit_train_batches,
                               TrainingData::size(train, parts.strategy.rank_share()));
  if (batches == 0 && !is_off(parts.options.limit_train_batches)) {
    throw DataError(
        "the training data has too few rows for a full batch, and drop_last = true leaves out a "
        "batch that isn't full; lower batch_size, or set drop_last = false");
  }
  return batches;
}

void set_expected_length(const LoopParts& parts, const DataLoaders& train) {
  Progress& progress = parts.run.progress();
  progress.accumulate = parts.options.accumulate_grad_batches;
  try {
    progress.num_batches = num_training_batches(parts, train);
    Stopping(parts.options, parts.strategy.ranks(), parts.run).set_limits(progress);
  } catch (const Error&) {  // FitLoop throws it again, unless the optimizer reads all rows at once
    progress.num_batches.reset();
  }
  parts.module.set_estimated_stepping_batches(estimated_steps(progress));
}

bool next_batch(const LoopParts& parts, Reader& reader, Batch& batch) {
  const ProfilePart profiled(parts.profiler, Part::data);
  return reader.next(batch);
}

bool transfer(const LoopParts& parts, Batch& batch) {
  const ProfilePart profiled(parts.profiler, Part::transfer);
  const bool is_converted = parts.precision.convert(batch);
  parts.data.on_before_batch_transfer(batch);
  parts.module.on_before_batch_transfer(batch);
  parts.strategy.to_device(batch);
  parts.data.on_after_batch_transfer(batch);
  parts.module.on_after_batch_transfer(batch);
  return is_converted;
}

bool leaves_batches(const LoopParts& parts) {
  return parts.data.leaves_batches() && parts.module.leaves_batches();
}

bool hooks_see_batches(const LoopParts& parts) {
  return parts.hooks.has_callback(BatchHook::train_batch_start) ||
         parts.hooks.has_callback(BatchHook::train_batch_end) || !parts.module.ignores_batches();
}

std::optional<size_t> room_for_data(const LoopParts& parts) {
  const at::Device device = parts.strategy.device();
  const std::string& option = parts.options.data_on_device;
  if (option == "on") return std::numeric_limits<size_t>::max();
  if (option == "off" || device.is_cpu() || !leaves_batches(parts)) return {};
  return free_memory(device) / 2;
}

void keep_on_device(const LoopParts& parts, Reader& reader, const Batch& first,
                    std::optional<int64_t> limit) {
  auto room = room_for_data(parts);
  const auto batches = reader.size();
  if (!room || !batches || !leaves_batches(parts)) return;
  if (parts.options.data_on_device != "on") {
    size_t bytes = 0;
    for (const auto& [name, rows] : first.entries()) bytes += rows.nbytes();
    const int64_t pass = std::min(*batches, limit.value_or(*batches));
    room = std::min(*room, bytes * static_cast<size_t>(pass));
  }
  reader.reside(parts.strategy.device(), *room);
}

}  // namespace levin
