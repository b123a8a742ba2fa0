#pragma once

#include <chrono>
#include <string>

#include <c10/util/intrusive_ptr.h>

namespace c10d {
class Backend;
class Store;
}  // namespace c10d

namespace levin {

/// Whether this build found Gloo's headers; without them, processes can't be joined on CPUs.
bool has_gloo();

/// Makes Gloo's collectives between `size` ranks, of which this is `rank`. The ranks meet at
/// `store`; returns when they are connected. `address` is the one at which other ranks reach this
/// host; if the environment variable GLOO_SOCKET_IFNAME names a network interface, its address
/// counts instead. A collective fails if another rank lets it wait for longer than `timeout`; the
/// backend's `abort` ends collectives that are under way. Throws DistributedError if the build has
/// no Gloo, or a rank can't be reached.
c10::intrusive_ptr<c10d::Backend> make_gloo(const c10::intrusive_ptr<c10d::Store>& store, int rank,
                                            int size, std::chrono::milliseconds timeout,
                                            const std::string& address);

}  // namespace levin
