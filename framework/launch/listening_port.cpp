#include <levin/framework/launch/listening_port.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/launch/cluster_variables.h>

namespace levin {
namespace {

/// Binds a socket and listens, or returns a closed one and leaves the reason in errno.
Descriptor listen_at(const sockaddr* address, socklen_t size) {
  Descriptor socket(::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.is_open()) return {};
  const int yes = 1;
  const int no = 0;
  // A port whose last connections are still fading away isn't taken.
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  if (address->sa_family == AF_INET6) {  // takes IPv4 as well
    ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
  }
  if (::bind(socket.get(), address, size) == 0 && ::listen(socket.get(), SOMAXCONN) == 0) {
    return socket;
  }
  const int error = errno;
  socket.close();
  errno = error;
  return {};
}

Descriptor listen_at_loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return listen_at(reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

Descriptor listen_everywhere(uint16_t port) {
  sockaddr_in6 both{};
  both.sin6_family = AF_INET6;
  both.sin6_addr = in6addr_any;
  both.sin6_port = htons(port);
  Descriptor socket = listen_at(reinterpret_cast<const sockaddr*>(&both), sizeof(both));
  if (socket.is_open() || errno == EADDRINUSE || errno == EACCES) return socket;
  sockaddr_in old{};  // a host without IPv6
  old.sin_family = AF_INET;
  old.sin_addr.s_addr = htonl(INADDR_ANY);
  old.sin_port = htons(port);
  return listen_at(reinterpret_cast<const sockaddr*>(&old), sizeof(old));
}

/// The error for the last port that was tried.
DistributedError no_meeting_port(int64_t number, bool may_choose_port, int error) {
  std::string tried = fmt::format("port {}", number);
  std::string remedy;
  if (error == EADDRINUSE || error == EACCES) {
    remedy = "; set MASTER_PORT to a free port, the same for all ranks";
    if (may_choose_port && error == EADDRINUSE) {
      tried += fmt::format(", the last of {} that were tried", kPortsToTry);
    }
  } else if (error == EMFILE) {
    remedy = "; raise the limit of open files (ulimit -n)";
  }
  return DistributedError(fmt::format("rank 0 can't listen for the other ranks at {}: {}{}", tried,
                                      std::strerror(error), remedy));
}

}  // namespace

int64_t meeting_port(const Cluster& cluster, int64_t i) {
  if (!cluster.may_choose_port) return cluster.master_port;
  return kFirstChosenPort + (cluster.master_port - kFirstChosenPort + i) % kChosenPorts;
}

int64_t meeting_ports(const Cluster& cluster) { return cluster.may_choose_port ? kPortsToTry : 1; }

bool is_local(const Cluster& cluster) {
  return cluster.num_nodes == 1 && !cluster.launcher_serves_store;
}

ListeningPort open_meeting_port(const Cluster& cluster) {
  int64_t number = 0;
  int error = 0;
  for (int64_t i = 0; i < meeting_ports(cluster); ++i) {
    number = meeting_port(cluster, i);
    const auto port = static_cast<uint16_t>(number);
    Descriptor socket = is_local(cluster) ? listen_at_loopback(port) : listen_everywhere(port);
    if (socket.is_open()) return {.socket = std::move(socket), .number = number};
    error = errno;
    if (error != EADDRINUSE) break;
  }
  throw no_meeting_port(number, cluster.may_choose_port, error);
}

}  // namespace levin
