#pragma once

#include <cstdint>
#include <functional>

#include <levin/framework/collectives/process_group.h>

#include "distributed/ranks_as_threads.h"

namespace levin::test {

/// `work` as each of `world_size` ranks, a thread each with its own ProcessGroup; none may throw.
inline void on_ranks(int64_t world_size, const std::function<void(ProcessGroup&)>& work,
                     at::Device device = at::kCPU, const ProcessGroupOptions& options = {}) {
  as_ranks(world_size, [&](const Cluster& cluster) {
    ProcessGroup group(cluster, device, options);
    work(group);
    group.barrier();  // nobody leaves while another still needs its connections
  });
}

}  // namespace levin::test
