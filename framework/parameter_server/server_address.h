#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <levin/framework/launch/descriptor.h>

namespace levin {

/// Where a parameter server listens.
struct ServerAddress {
  /// The name or the address of a host, IPv4 or IPv6.
  std::string host = "127.0.0.1";
  uint16_t port = 0;

  /// Returns "host:port", and reads it. Throws DistributedError if the text has another form.
  std::string text() const;
  static ServerAddress parse(std::string_view text);
  bool operator==(const ServerAddress&) const = default;
};

/// Opens a listening socket at that address, and sets a port of 0 to the one that the system
/// chooses. Only the network that the address belongs to reaches it. Throws DistributedError.
Descriptor listen_at(ServerAddress& address);
/// Connects to a server within `seconds`. Throws DistributedError if that fails.
Descriptor connect_to(const ServerAddress& address, double seconds);
/// Makes the system send each message at once instead of waiting for more to send, and find out
/// within a minute if the other host has gone while nothing is on its way there.
void prepare_connection(const Descriptor& socket);

}  // namespace levin
