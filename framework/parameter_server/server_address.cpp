#include <levin/framework/parameter_server/server_address.h>

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/loopback.h>
#include <levin/framework/core/number_in.h>
#include <levin/framework/launch/tcp.h>

namespace levin {
namespace {

using ServerHosts = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

ServerHosts find_server_host(const ServerAddress& address) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int code =
      ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
  if (code != 0) {
    throw DistributedError(fmt::format("the host '{}' of a parameter server can't be found: {}",
                                       address.host, ::gai_strerror(code)));
  }
  return {found, &::freeaddrinfo};
}

void set_socket_option(const Descriptor& socket, int level, int option, int value) {
  ::setsockopt(socket.get(), level, option, &value, sizeof(value));
}

}  // namespace

std::string ServerAddress::text() const { return fmt::format("{}:{}", host, port); }

ServerAddress ServerAddress::parse(std::string_view text) {
  ServerAddress address{.host = {}};
  const size_t colon = text.rfind(':');
  if (colon != std::string_view::npos) {
    address.host = text.substr(0, colon);
    address.port = number_in<uint16_t>(text.substr(colon + 1)).value_or(0);
  }
  if (address.host.empty() || address.port == 0) {
    throw DistributedError(fmt::format(
        "'{}' isn't the address of a parameter server, which has the form \"host:port\"",
        shortened(text)));
  }
  return address;
}

Descriptor listen_at(ServerAddress& address) {
  const ServerHosts found = find_server_host(address);
  Descriptor listener = open_tcp_socket(found->ai_family);
  if (!listener.is_open() || ::bind(listener.get(), found->ai_addr, found->ai_addrlen) != 0 ||
      ::listen(listener.get(), SOMAXCONN) != 0) {
    throw DistributedError(
        fmt::format("the parameter server can't open a port at {}: {}; the address must be one of "
                    "this host, and the port free",
                    address.text(), std::strerror(errno)));
  }
  address.port = port_of(listener);
  return listener;
}

Descriptor connect_to(const ServerAddress& address, double seconds) {
  const double deadline = files::monotonic_seconds() + seconds;
  const ServerHosts found = find_server_host(address);
  int error = 0;
  for (const addrinfo* one = found.get(); one != nullptr; one = one->ai_next) {
    Descriptor socket = open_tcp_socket(one->ai_family);
    error = socket.is_open() ? connect_until(socket, *one, deadline) : errno;
    if (error != 0) continue;
    ::fcntl(socket.get(), F_SETFL, ::fcntl(socket.get(), F_GETFL) & ~O_NONBLOCK);
    prepare_connection(socket);
    return socket;
  }
  throw DistributedError(fmt::format("can't reach the parameter server at {}: {}", address.text(),
                                     std::strerror(error)));
}

void prepare_connection(const Descriptor& socket) {
  unpace_loopback(socket.get());
  set_socket_option(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  set_socket_option(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_socket_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, 10);
  set_socket_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, 10);
  set_socket_option(socket, IPPROTO_TCP, TCP_KEEPCNT, 4);
}

}  // namespace levin
