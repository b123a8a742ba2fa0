#pragma once

#include <chrono>
#include <string>

#include <c10/core/Device.h>
#include <c10/util/intrusive_ptr.h>

namespace c10d {
class ProcessGroup;
class Store;
}  // namespace c10d

namespace levin {

/// Returns which backend, "gloo" or "nccl", exchanges the tensors of ranks that train on `device`,
/// if the user asked for `name` (ProcessGroupOptions::backend). Throws ConfigError if that one
/// can't be used.
std::string backend_of(const std::string& name, at::Device device);

/// Gives `group` its backends: Gloo for tensors on the CPU and `backend` for those on `device`. All
/// ranks call this; it returns when they are joined. Gloo's ranks find each other through
/// `gloo_store`, and this one is reached at `address`; see make_gloo and make_nccl, also for what
/// is thrown.
void add_backends(c10d::ProcessGroup& group, const std::string& backend, at::Device device,
                  const c10::intrusive_ptr<c10d::Store>& gloo_store,
                  std::chrono::milliseconds timeout, const std::string& address);

}  // namespace levin
