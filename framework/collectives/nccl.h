#pragma once

#include <chrono>

#include <c10/core/Device.h>
#include <c10/util/intrusive_ptr.h>

namespace c10d {
class Backend;
class Store;
}  // namespace c10d

namespace levin {

/// Whether this build found NCCL's and CUDA's headers. Without them GPUs exchange tensors through
/// Gloo, which copies them by way of the CPU. NCCL itself is loaded by LibTorch.
bool has_nccl();

/// Makes NCCL's collectives between `size` ranks, of which this is number `rank`. Each rank calls
/// this once with the same `store`, at which the ranks meet; it returns when they are joined.
/// ProcessGroup calls it for its users.
///
/// Each rank needs a GPU of its own (`device`, a CUDA device; cuda:0 if it has no index). If two
/// ranks have the same one, this fails instead of the first collective. A collective fails if
/// another rank lets it wait for longer than `timeout`. Throws DistributedError if the build has no
/// NCCL.
c10::intrusive_ptr<c10d::Backend> make_nccl(const c10::intrusive_ptr<c10d::Store>& store, int rank,
                                            int size, std::chrono::milliseconds timeout,
                                            at::Device device);

}  // namespace levin
