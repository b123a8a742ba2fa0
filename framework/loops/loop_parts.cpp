#include <levin/framework/loops/loop_parts.h>

namespace levin {

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

bool leaves_batches(const LoopParts& parts) {
  return parts.data.leaves_batches() && parts.module.leaves_batches();
}

}  // namespace levin
