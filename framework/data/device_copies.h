#pragma once

#include <levin/framework/data/batch.h>

#include <c10/core/Event.h>
#include <c10/core/Stream.h>

#include <deque>
#include <optional>

namespace levin {

/// Copies batches to a device while the device works on earlier ones: large ones, from pinned
/// memory, on a stream of their own.
///
///     DeviceCopies copies(device);
///     while (reader.next(batch)) {
///       batch = copies.copy(batch);    // returns at once
///       train_on(batch);
///     }
///
/// At most kInFlight batches are under way at a time, so that a host that is faster than the device
/// doesn't fill its memory: `copy` waits for the step before them, while the device is busy with
/// the others. Nothing is waited for if batches are small. One thread makes all calls.
class DeviceCopies {
 public:
  static constexpr size_t kInFlight = 3;
  static constexpr size_t kLeastBytes = size_t{1} << 20;  // of a batch that is worth a stream

  explicit DeviceCopies(at::Device device) : device_(device) {}

  /// The batch on the device, as Batch::to gives it.
  Batch copy(const Batch& batch);

 private:
  bool is_worth_it(const Batch& batch) const;

  at::Device device_;
  std::optional<c10::Stream> stream_;
  std::deque<c10::Event> steps_;  // each done when the steps before a copy are
};

}  // namespace levin
