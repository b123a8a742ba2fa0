// This is the only file that includes Gloo's headers. The headers that can be installed are older
// than the Gloo in LibTorch, and only the parts used here are known to be the same in both.
#include <levin/framework/collectives/gloo.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <levin/framework/core/error.h>

#ifdef LEVIN_HAS_GLOO
#include <gloo/transport/unbound_buffer.h>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#endif

namespace levin {
namespace {

/// Whether a socket address of that family, with this IP address, begins at `bytes`, which are as
/// many as a sockaddr_storage has. Ports aren't compared.
bool is_socket_address(const uint8_t* bytes, const in_addr* v4, const in6_addr* v6) {
  sockaddr_storage storage;
  std::memcpy(&storage, bytes, sizeof(storage));
  if (v4 != nullptr && storage.ss_family == AF_INET) {
    return std::memcmp(&reinterpret_cast<const sockaddr_in&>(storage).sin_addr, v4, sizeof(*v4)) ==
           0;
  }
  return v6 != nullptr && storage.ss_family == AF_INET6 &&
         std::memcmp(&reinterpret_cast<const sockaddr_in6&>(storage).sin6_addr, v6, sizeof(*v6)) ==
             0;
}

}  // namespace

void clear_unused_bytes(std::vector<uint8_t>& value, const std::string& address) {
  in_addr v4{};
  in6_addr v6{};
  const bool is_v4 = ::inet_pton(AF_INET, address.c_str(), &v4) == 1;
  const bool is_v6 = !is_v4 && ::inet_pton(AF_INET6, address.c_str(), &v6) == 1;
  const size_t used = is_v4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  for (size_t at = 0; at + sizeof(sockaddr_storage) <= value.size();) {
    if (!is_socket_address(value.data() + at, is_v4 ? &v4 : nullptr, is_v6 ? &v6 : nullptr)) {
      ++at;
      continue;
    }
    std::fill_n(value.data() + at + used, sizeof(sockaddr_storage) - used, uint8_t{0});
    at += sizeof(sockaddr_storage);
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
