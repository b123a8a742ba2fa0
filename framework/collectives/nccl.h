#pragma once

#include <chrono>

#include <c10/core/Device.h>
#include <c10/util/intrusive_ptr.h>

namespace c10d {
class Backend;
class Store;
}  // namespace c10d

namespace levin {

/// Whether this build found NCCL's and CUDA's headers; without them, GPUs exchange through Gloo.
bool has_nccl();

/// Makes NCCL's collectives between `size` ranks, of which this is `rank`. The ranks meet at
/// `store`, each with a GPU of its own (`device`); returns when they are joined. A collective fails
/// if another rank lets it wait for longer than `timeout`. Throws DistributedError if the build has
/// no NCCL.
c10::intrusive_ptr<c10d::Backend> make_nccl(const c10::intrusive_ptr<c10d::Store>& store, int rank,
                                            int size, std::chrono::milliseconds timeout,
                                            at::Device device);

}  // namespace levin
