#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace levin {

/// Where a server listens, as a URL says it.
struct HttpAddress {
  bool is_tls = false;
  /// A name or an address; that of IPv6 without brackets.
  std::string host{};
  int64_t port = 80;
  /// What the URL has behind the port, without a slash at its end: "" or "/models/a".
  std::string path{};

  /// "host:port", as the header Host has it; IPv6 in brackets.
  std::string authority() const;
  /// "http://host:port".
  std::string origin() const;
};

/// Reads "http://HOST[:PORT][/PATH]" or "https://...", of which "http://" may be left out. Throws
/// ConfigError for anything else.
HttpAddress parse_server_address(std::string_view url);

/// An address as connect() takes it.
struct SocketAddress {
  sockaddr_storage address{};
  socklen_t size = 0;
  int family = 0;
};

/// Looks up the host. Throws DataError if it can't be found.
SocketAddress resolve(const HttpAddress& server);

}  // namespace levin
