#pragma once

#include <cstdint>
#include <vector>

namespace levin {

/// What one rank of a pipeline did with one training batch. All moments are those of
/// files::monotonic_seconds.
struct PipelineBatch {
  /// A forward or backward pass of one micro-batch through one stage.
  struct Pass {
    double begin = 0.0;
    double end = 0.0;
    bool is_forward = true;
    int64_t stage = 0;
    int64_t micro_batch = 0;
  };
  /// In their order; empty in a second report, of the wait for the last passes of other ranks.
  std::vector<Pass> passes;
  /// From the beginning of the first pass, or of the waiting for it, until all ranks know the loss.
  double begin = 0.0;
  double end = 0.0;
  /// The seconds of it in which the rank waited for messages, and the parts of these in which it
  /// waited for outputs of the stage before and for gradients from the stage after. In the rest, it
  /// waited until its own messages had arrived, and for the loss.
  double waiting = 0.0;
  double for_outputs = 0.0;
  double for_gradients = 0.0;
  /// What the rank sent to other ones: outputs, and gradients of inputs.
  int64_t messages = 0;
  int64_t bytes = 0;
  /// The share of the time, from 0 to 1, that ranks wait by the schedule alone, if all stages take
  /// equally long and messages take no time.
  double scheduled_bubble = 0.0;
};

/// The same over all training batches of a run; empty without a pipeline.
struct Pipelining {
  int64_t batches = 0;
  double seconds = 0.0;
  double waiting = 0.0;
  double for_outputs = 0.0;
  double for_gradients = 0.0;
  int64_t messages = 0;
  int64_t bytes = 0;
  double scheduled_bubble = 0.0;

  void add(const PipelineBatch& batch) {
    ++batches;
    seconds += batch.end - batch.begin;
    waiting += batch.waiting;
    messages += batch.messages;
    bytes += batch.bytes;
    for_outputs += batch.for_outputs;
    for_gradients += batch.for_gradients;
    scheduled_bubble = batch.scheduled_bubble;
  }
  /// The percentage of the time in which the rank waited; 0 without a pipeline.
  double bubble_percent() const { return seconds > 0 ? 100 * waiting / seconds : 0.0; }
  double mib() const { return static_cast<double>(bytes) / (1 << 20); }
};

}  // namespace levin
