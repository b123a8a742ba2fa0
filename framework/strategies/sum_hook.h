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
  /// The type gradients are sent in; nothing: their own.
  std::optional<at::ScalarType> sent_as{};
  /// Never sent in another type.
  torch::Tensor riders{};
  /// Adds up floats and doubles; null: the process group does.
  std::shared_ptr<HostSum> host_sum{};
  /// Told of every collective; null: none.
  std::shared_ptr<CommunicationLog> log{};
};

/// Sums the Reducer's buckets over ranks; c10d's own hooks divide by their number, which our
/// weights have done. Adds to `bytes` what this rank gives; it has to live longer.
std::unique_ptr<c10d::CommHookInterface> make_sum_hook(ProcessGroup& group, SumHookOptions options,
                                                       std::atomic<int64_t>& bytes);

}  // namespace levin
