#pragma once

#include <optional>

#include <levin/framework/loops/loop_parts.h>
#include <levin/framework/threads/thread_policy.h>

namespace levin {

/// Whether the number of threads may be found by a trial: on a CPU, in one process, with one
/// optimizer that calls its closure once, and not in deterministic mode.
bool can_try_threads(const LoopParts& parts, Optimizers& optimizers);

/// Times whole training steps (forward, backward, optimizer; no hooks of a step, nothing logged)
/// with 1 thread up to as many as LibTorch has, on the first of at most `num_batches` batches of a
/// reader of its own, setting `parts.threads`. Then puts back, bit for bit, the module's state_dict
/// and gradients, the optimizer's state, all random generators and the requests to the run; after
/// an error too. What a module keeps elsewhere stays as its training_step left it.
ThreadTrial try_threads(const LoopParts& parts, Optimizers& optimizers, const DataLoaders& train,
                        std::optional<int64_t> num_batches, ThreadTrialOptions options);

}  // namespace levin
