#pragma once

#include <chrono>
#include <string>

#include <c10/util/intrusive_ptr.h>

namespace c10d {
class Backend;
class Store;
}  // namespace c10d

namespace levin {

/// Whether this build found Gloo's headers.
bool has_gloo();

/// Gloo's collectives between `size` ranks that meet at `store`. `address` is this host's, as the
/// others reach it; GLOO_SOCKET_IFNAME names a network interface instead. Throws DistributedError
/// where the build has no Gloo, or a rank can't be reached. Its `abort` ends what is under way.
c10::intrusive_ptr<c10d::Backend> make_gloo(const c10::intrusive_ptr<c10d::Store>& store, int rank,
                                            int size, std::chrono::milliseconds timeout,
                                            const std::string& address);

}  // namespace levin
