#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include <c10/core/ScalarType.h>

#include <levin/framework/collectives/host_sum.h>
#include <levin/framework/collectives/process_group.h>
#include <levin/framework/profiling/communication_log.h>
#include <levin/framework/tensor/tensor.h>

namespace c10d {
class CommHookInterface;
}

namespace levin {

/// Options of make_sum_hook.
struct SumHookOptions {
  /// The type in which gradients are sent; nothing for their own type.
  std::optional<at::ScalarType> sent_as{};
  /// The parameter that holds the riders. Its bucket is always sent in its own type, because types
  /// of two bytes can't count rows.
  torch::Tensor riders{};
  /// Sums buckets of floats and doubles in shared memory; null if the process group sums all of
  /// them.
  std::shared_ptr<HostSum> host_sum{};
  /// Records every collective; null if nothing is recorded.
  std::shared_ptr<CommunicationLog> log{};
};

/// Makes the hook through which c10d's Reducer has its buckets summed over ranks. The Reducer calls
/// it for one bucket after the other, in the same order on all ranks, and waits for the results at
/// the end of backward. (c10d's own hooks also divide by the number of ranks. Here the weights of
/// the losses have done that already.)
///
/// Dense buckets of floats and doubles are summed in `host_sum` if there is one and they fit into
/// it, all others by `group`; sparse gradients always by `group`, and on the CPU if the backend is
/// NCCL. The hook adds the bytes that this rank sends (CommunicationLog) to `bytes`, which must
/// live longer than the hook.
std::unique_ptr<c10d::CommHookInterface> make_sum_hook(ProcessGroup& group, SumHookOptions options,
                                                       std::atomic<int64_t>& bytes);

}  // namespace levin
