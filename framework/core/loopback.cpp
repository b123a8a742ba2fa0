#include <levin/framework/core/loopback.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <string_view>

namespace levin {
namespace {

bool is_loopback(const in6_addr& address) {
  if (IN6_IS_ADDR_V4MAPPED(&address)) return address.s6_addr[12] == IN_LOOPBACKNET;
  return IN6_IS_ADDR_LOOPBACK(&address);
}

// A connection with a loopback address has one on both sides.
bool is_bound_to_loopback(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return false;
  if (address.ss_family == AF_INET6) {
    return is_loopback(reinterpret_cast<sockaddr_in6*>(&address)->sin6_addr);
  }
  return address.ss_family == AF_INET &&
         ntohl(reinterpret_cast<sockaddr_in*>(&address)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

bool is_paced(int socket) {
  std::array<char, 16> name{};  // TCP_CA_NAME_MAX
  socklen_t size = name.size() - 1;
  return ::getsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, name.data(), &size) == 0 &&
         std::string_view(name.data()).starts_with("bbr");
}

}  // namespace

void unpace_loopback(int socket) {
  if (!is_bound_to_loopback(socket) || !is_paced(socket)) return;
  constexpr std::string_view kReno = "reno";
  ::setsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, kReno.data(), kReno.size());
}

}  // namespace levin
