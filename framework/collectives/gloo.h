#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <c10/util/intrusive_ptr.h>

namespace c10d {
class Backend;
class Store;
}  // namespace c10d

namespace levin {

/// Whether this build found Gloo's headers. Without them processes can't be joined, whatever the
/// device, and only a single process can train.
bool has_gloo();

/// Makes Gloo's collectives between `size` ranks, of which this is number `rank`. Each rank calls
/// this once with the same `store`, at which the ranks meet; it returns when they are connected.
/// ProcessGroup calls it for its users.
///
/// `address` is the one at which other ranks reach this host; if the environment variable
/// GLOO_SOCKET_IFNAME names a network interface, the address of that interface is used instead. A
/// collective fails if another rank lets it wait for longer than `timeout`. The backend's `abort`
/// ends collectives that are under way, on this rank and on those that wait for it. Throws
/// DistributedError if the build has no Gloo; c10d's exceptions pass through if a rank can't be
/// reached.
c10::intrusive_ptr<c10d::Backend> make_gloo(const c10::intrusive_ptr<c10d::Store>& store, int rank,
                                            int size, std::chrono::milliseconds timeout,
                                            const std::string& address);

/// Sets bytes to 0 in a value that Gloo is about to put into a store. Gloo sends addresses of this
/// host in a sockaddr_storage, of which it fills in only the part that the address needs; what
/// happened to be in memory would follow. Other values stay as they are.
void clear_unused_bytes(std::vector<uint8_t>& value);

}  // namespace levin
