// This is the only file that includes Gloo's headers. The headers that can be installed are older
// than the Gloo in LibTorch, and only the parts used here are known to be the same in both.
#include <levin/framework/collectives/gloo.h>

#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <levin/framework/core/error.h>

#ifdef LEVIN_HAS_GLOO
#include <gloo/transport/unbound_buffer.h>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#endif

namespace levin {
namespace {

struct FreeInterfaces {
  void operator()(ifaddrs* list) const { ::freeifaddrs(list); }
};

/// The size of the socket address at the start of `storage`, if it is one of this host, whatever
/// its port is; 0 if it isn't.
size_t size_of_own_address(const sockaddr_storage& storage, const ifaddrs* interfaces) {
  const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage);
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage);
  for (const ifaddrs* each = interfaces; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr || each->ifa_addr->sa_family != storage.ss_family) continue;
    if (storage.ss_family == AF_INET) {
      const auto& own = reinterpret_cast<const sockaddr_in&>(*each->ifa_addr);
      if (std::memcmp(&own.sin_addr, &v4.sin_addr, sizeof(in_addr)) == 0) return sizeof(v4);
    } else if (storage.ss_family == AF_INET6) {
      const auto& own = reinterpret_cast<const sockaddr_in6&>(*each->ifa_addr);
      if (std::memcmp(&own.sin6_addr, &v6.sin6_addr, sizeof(in6_addr)) == 0) return sizeof(v6);
    }
  }
  return 0;
}

}  // namespace

void clear_unused_bytes(std::vector<uint8_t>& value) {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return;
  const std::unique_ptr<ifaddrs, FreeInterfaces> interfaces(list);
  sockaddr_storage storage;
  for (size_t at = 0; at + sizeof(storage) <= value.size();) {
    std::memcpy(&storage, value.data() + at, sizeof(storage));
    const size_t used = size_of_own_address(storage, interfaces.get());
    if (used > 0) std::fill_n(value.data() + at + used, sizeof(storage) - used, uint8_t{0});
    at += used > 0 ? sizeof(storage) : 1;
  }
}

#ifdef LEVIN_HAS_GLOO

namespace {

/// c10d's Backend::abort does nothing for Gloo.
class AbortableGloo : public c10d::ProcessGroupGloo {
 public:
  using c10d::ProcessGroupGloo::ProcessGroupGloo;

  /// If one wait takes too long, Gloo breaks all connections, and with them every other wait on
  /// this rank and at the other ends. This starts such a wait with a timeout of 0, which fails at
  /// once.
  void abort() override {
    for (const auto& context : contexts_) {
      char nothing = 0;
      try {
        const auto buffer = context->createUnboundBuffer(&nothing, sizeof(nothing));
        buffer->waitRecv(nullptr, std::chrono::milliseconds(0));
      } catch (const std::exception&) {  // the wait was too long
      }
    }
  }
};

}  // namespace

bool has_gloo() { return true; }

c10::intrusive_ptr<c10d::Backend> make_gloo(const c10::intrusive_ptr<c10d::Store>& store, int rank,
                                            int size, std::chrono::milliseconds timeout,
                                            const std::string& address) {
  using Gloo = c10d::ProcessGroupGloo;
  const auto options = Gloo::Options::create(timeout);
  const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
  options->devices.push_back(interface != nullptr && *interface != '\0'
                                 ? Gloo::createDeviceForInterface(interface)
                                 : Gloo::createDeviceForHostname(address));
  return c10::make_intrusive<AbortableGloo>(store, rank, size, options);
}

#else

bool has_gloo() { return false; }

c10::intrusive_ptr<c10d::Backend> make_gloo(const c10::intrusive_ptr<c10d::Store>&, int, int,
                                            std::chrono::milliseconds, const std::string&) {
  throw DistributedError(
      "this build has no Gloo, which joins processes on CPUs: install libgloo-dev and build again");
}

#endif

}  // namespace levin
