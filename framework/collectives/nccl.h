#pragma once

#include <chrono>

#include <c10/core/Device.h>
#include <c10/util/intrusive_ptr.h>

namespace c10d {
class Backend;
class Store;
}  // namespace c10d

namespace levin {

/// Whether this build found NCCL's and CUDA's headers.
bool has_nccl();

/// NCCL's collectives between `size` ranks that meet at `store`, each with a GPU of its own;
/// returns when they are joined. Throws DistributedError where the build has no NCCL.
c10::intrusive_ptr<c10d::Backend> make_nccl(const c10::intrusive_ptr<c10d::Store>& store, int rank,
                                            int size, std::chrono::milliseconds timeout,
                                            at::Device device);

}  // namespace levin
