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

struct SumHookOptions {
  /// The type in which gradients are sent; nothing for their own.
  std::optional<at::ScalarType> sent_as{};
  /// The parameter that holds the riders, which are never sent in another type.
  torch::Tensor riders{};
  /// What sums buckets of floats and doubles; null if the process group is to do it.
  std::shared_ptr<HostSum> host_sum{};
  /// What is told of every collective; null for nothing.
  std::shared_ptr<CommunicationLog> log{};
};

/// Makes the hook by which c10d's Reducer has its buckets summed over ranks. (c10d's own hooks also
/// divide by the number of ranks, which the weights of our losses have done already.) Adds the
/// bytes that this rank gives to `bytes`, which has to live longer than the hook.
std::unique_ptr<c10d::CommHookInterface> make_sum_hook(ProcessGroup& group, SumHookOptions options,
                                                       std::atomic<int64_t>& bytes);

}  // namespace levin
