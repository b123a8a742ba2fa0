#include <levin/framework/heartbeat/heartbeat_wire.h>

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <random>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/number_in.h>
#include <levin/framework/launch/tcp.h>

namespace levin {
namespace {

constexpr size_t kHeadBytes = 14;
constexpr size_t kMostText = size_t{16} << 10;
constexpr size_t kMostForeignText = 64;

void put(std::string& to, uint32_t number) {
  for (int shift = 24; shift >= 0; shift -= 8) to += static_cast<char>((number >> shift) & 0xff);
}

uint32_t number_at(std::string_view bytes, size_t at) {
  uint32_t number = 0;
  for (size_t i = at; i < at + 4; ++i) {
    number = (number << 8) | static_cast<unsigned char>(bytes[i]);
  }
  return number;
}

bool is_kind(char letter) {
  return std::string_view("HBFG").find(letter) != std::string_view::npos;
}

using Addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

Addresses find_host(const std::string& host, uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int code = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (code != 0) {
    throw DistributedError(
        fmt::format("rank 0's heartbeat: the host '{}' can't be found: {}; set MASTER_ADDR to the "
                    "address of rank 0's host",
                    host, ::gai_strerror(code)));
  }
  return {found, &::freeaddrinfo};
}

/// Makes the system send each message immediately instead of waiting for more to send.
void send_at_once(const Descriptor& socket) {
  const int yes = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

/// Replaces the address by that of all interfaces, unless it is a loopback address.
void widen(sockaddr* address) {
  if (address->sa_family == AF_INET) {
    auto& ip = reinterpret_cast<sockaddr_in*>(address)->sin_addr;
    if (ntohl(ip.s_addr) >> 24 != 127) ip.s_addr = htonl(INADDR_ANY);
  } else if (address->sa_family == AF_INET6) {
    auto* ip = reinterpret_cast<sockaddr_in6*>(address);
    if (!IN6_IS_ADDR_LOOPBACK(&ip->sin6_addr)) {
      ip->sin6_addr = in6addr_any;
      ip->sin6_scope_id = 0;
    }
  }
}

}  // namespace

HeartbeatConnection::HeartbeatConnection(Descriptor socket)
    : socket_(std::move(socket)), most_text_(kMostForeignText) {
  if (is_open()) send_at_once(socket_);
}

void HeartbeatConnection::trust() { most_text_ = kMostText; }

void HeartbeatConnection::send(const HeartbeatMessage& message) {
  if (!is_open() || finished_) return;
  const std::string_view text = std::string_view(message.text).substr(0, kMostText);
  const double milliseconds = std::clamp(std::round(message.seconds * 1e3), 0.0, 4e9);
  unsent_ += static_cast<char>(message.kind);
  unsent_ += message.flag ? '\1' : '\0';
  put(unsent_, static_cast<uint32_t>(message.rank));
  put(unsent_, static_cast<uint32_t>(milliseconds));
  put(unsent_, static_cast<uint32_t>(text.size()));
  unsent_ += text;
  flush();
}

void HeartbeatConnection::flush() {
  while (is_open() && !unsent_.empty()) {
    const ssize_t sent =
        ::send(socket_.get(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      unsent_.erase(0, static_cast<size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return;
    } else if (errno != EINTR) {
      unsent_.clear();  // the other side is gone, which `receive` reports
    }
  }
  if (finished_ && is_open()) ::shutdown(socket_.get(), SHUT_WR);
}

void HeartbeatConnection::finish() {
  finished_ = true;
  flush();
}

bool HeartbeatConnection::receive() {
  constexpr size_t kMost = size_t{256} << 10;  // `poll` reports the rest again
  std::array<char, 4096> buffer;
  for (size_t total = 0; is_open() && total < kMost;) {
    const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got > 0) {
      received_.append(buffer.data(), static_cast<size_t>(got));
      total += static_cast<size_t>(got);
    } else if (got == 0) {
      return false;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return true;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return is_open();
}

std::optional<HeartbeatMessage> HeartbeatConnection::next() {
  if (received_.empty()) return std::nullopt;
  const size_t known = received_.size();
  const size_t length = known < kHeadBytes ? 0 : number_at(received_, 10);
  if (!is_kind(received_[0]) || length > most_text_) {
    received_.clear();
    close();
    return std::nullopt;
  }
  if (known < kHeadBytes + length) return std::nullopt;
  HeartbeatMessage message{.kind = static_cast<HeartbeatMessage::Kind>(received_[0]),
                           .rank = static_cast<int32_t>(number_at(received_, 2)),
                           .flag = received_[1] != '\0',
                           .seconds = number_at(received_, 6) / 1e3,
                           .text = received_.substr(kHeadBytes, length)};
  received_.erase(0, kHeadBytes + length);
  return message;
}

std::string HeartbeatAddress::text() const { return fmt::format("{}:{} {}", host, port, token); }

HeartbeatAddress HeartbeatAddress::parse(std::string_view text) {
  const size_t space = text.find(' ');
  const size_t colon = text.substr(0, space).rfind(':');
  HeartbeatAddress address;
  if (space != std::string_view::npos && colon != std::string_view::npos) {
    address.host = text.substr(0, colon);
    address.token = text.substr(space + 1);
    const auto port = text.substr(colon + 1, space - colon - 1);
    address.port = number_in<uint16_t>(port).value_or(0);
  }
  if (address.host.empty() || address.port == 0 || address.token.empty()) {
    throw DistributedError(fmt::format(
        "'{}' isn't the address of rank 0's heartbeat, which has the form \"address:port token\"; "
        "check that all ranks use the same version of Levin",
        text));
  }
  return address;
}

Descriptor listen_for_heartbeats(const std::string& host, HeartbeatAddress& address) {
  const Addresses found = find_host(host, 0);
  widen(found->ai_addr);
  Descriptor listener = open_tcp_socket(found->ai_family);
  if (!listener.is_open() || ::bind(listener.get(), found->ai_addr, found->ai_addrlen) != 0 ||
      ::listen(listener.get(), SOMAXCONN) != 0) {
    throw DistributedError(
        fmt::format("rank 0 can't open a port for the heartbeat at '{}': {}; set MASTER_ADDR to an "
                    "address of this host",
                    host, std::strerror(errno)));
  }
  std::random_device random;
  address = {
      .host = host,
      .port = port_of(listener),
      .token = fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random())};
  return listener;
}

Descriptor connect_to_heartbeat(const HeartbeatAddress& address, double seconds) {
  const double deadline = files::monotonic_seconds() + seconds;
  const Addresses found = find_host(address.host, address.port);
  int error = 0;
  for (const addrinfo* one = found.get(); one != nullptr; one = one->ai_next) {
    Descriptor socket = open_tcp_socket(one->ai_family);
    error = socket.is_open() ? connect_until(socket, *one, deadline) : errno;
    if (error == 0) return socket;
  }
  throw DistributedError(
      fmt::format("rank 0's heartbeat can't be reached at {}:{}: {}; check whether rank 0 has "
                  "ended and whether a firewall separates the hosts",
                  address.host, address.port, std::strerror(error)));
}

Descriptor accept_heartbeat(const Descriptor& listener, int& error) {
  for (;;) {
    Descriptor socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    error = socket.is_open() ? 0 : errno;
    if (error == EAGAIN || error == EWOULDBLOCK) error = 0;
    if (error != EINTR && error != ECONNABORTED) return socket;
  }
}

}  // namespace levin
