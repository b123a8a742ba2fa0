#include <levin/serving/load/http_address.h>

#include <netdb.h>

#include <cstring>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/number_in.h>

namespace levin {
namespace {

ConfigError wrong_url(std::string_view url) {
  return ConfigError::invalid_value("the URL", fmt::format("'{}'", shortened(url)),
                                    "it must be http://HOST:PORT or https://HOST:PORT");
}

}  // namespace

std::string HttpAddress::authority() const {
  const bool is_ipv6 = host.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}", is_ipv6 ? "[" : "", host, is_ipv6 ? "]" : "", port);
}

std::string HttpAddress::origin() const {
  return fmt::format("{}://{}", is_tls ? "https" : "http", authority());
}

HttpAddress parse_server_address(std::string_view url) {
  const std::string_view whole = url;
  HttpAddress result;
  if (const size_t scheme = url.find("://"); scheme != std::string_view::npos) {
    result.is_tls = url.substr(0, scheme) == "https";
    if (!result.is_tls && url.substr(0, scheme) != "http") throw wrong_url(whole);
    url.remove_prefix(scheme + 3);
  }
  result.port = result.is_tls ? 443 : 80;
  const size_t slash = url.find('/');
  if (slash != std::string_view::npos) {
    result.path = url.substr(slash);
    while (result.path.ends_with('/')) result.path.pop_back();
    url = url.substr(0, slash);
  }
  if (url.find_first_of("?#@ \t\r\n") != std::string_view::npos ||
      result.path.find_first_of("?# \t\r\n") != std::string::npos) {
    throw wrong_url(whole);
  }
  size_t host_end = url.find(':');
  if (url.starts_with('[')) {
    host_end = url.find(']');
    if (host_end == std::string_view::npos) throw wrong_url(whole);
    result.host = url.substr(1, host_end - 1);
    ++host_end;
  } else {
    result.host = url.substr(0, host_end);
  }
  if (result.host.empty()) throw wrong_url(whole);
  if (host_end != std::string_view::npos && host_end < url.size()) {
    const auto port = number_in<int64_t>(url.substr(host_end + 1));
    if (url[host_end] != ':' || !port || *port < 1 || *port > 65535) throw wrong_url(whole);
    result.port = *port;
  }
  return result;
}

SocketAddress resolve(const HttpAddress& server) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(server.port);
  const int error = ::getaddrinfo(server.host.c_str(), port.c_str(), &hints, &found);
  if (error != 0) {
    throw DataError(fmt::format("the host '{}' can't be found ({}); check the URL", server.host,
                                ::gai_strerror(error)));
  }
  SocketAddress result;
  // IPv4 first: "localhost" has both, and a server often listens on 127.0.0.1 only.
  const addrinfo* chosen = found;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    if (each->ai_family == AF_INET) {
      chosen = each;
      break;
    }
  }
  std::memcpy(&result.address, chosen->ai_addr, chosen->ai_addrlen);
  result.size = chosen->ai_addrlen;
  result.family = chosen->ai_family;
  ::freeaddrinfo(found);
  return result;
}

}  // namespace levin
