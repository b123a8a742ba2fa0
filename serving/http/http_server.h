#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <levin/serving/http/http_message.h>

namespace levin {

/// How a server listens, and what it allows its clients.
struct HttpOptions {
  /// The address to listen on; only this machine reaches the default.
  std::string host = "127.0.0.1";
  /// 0: a free port.
  int64_t port = 8000;
  /// Threads that read, parse and write.
  int64_t threads = 1;
  int64_t max_connections = 1024;
  /// Bytes of a body, also of a decompressed one, and of all headers together.
  int64_t max_body = int64_t{64} << 20;
  int64_t max_header = int64_t{16} << 10;
  /// Bytes that the bodies of all requests that arrive may take together; more are refused with
  /// 429. Those of at most 16 KiB don't count.
  int64_t memory = int64_t{1} << 30;
  /// Seconds from the first byte of a request until all of it must have come, seconds for which a
  /// response may be stuck without progress, and seconds for which a connection may be idle between
  /// two requests.
  double read_timeout = 30.0;
  double write_timeout = 30.0;
  double idle_timeout = 60.0;
  /// If not empty, requests need the header "Authorization: Bearer TOKEN", except those to
  /// `open_paths`.
  std::string token{};
  std::vector<std::string> open_paths{};
  /// Files with the certificate chain and the private key, PEM: both or none; with them, the server
  /// speaks TLS 1.2 and 1.3 only.
  std::string tls_certificate{};
  std::string tls_key{};
};

/// Throws ConfigError if one of the options can't be used. Files aren't read.
void validate(const HttpOptions& options);

/// An HTTP/1.1 server on Boost.Beast, which calls a handler for each request.
///
///     HttpServer server({.port = 0}, [](HttpRequest request, HttpReply reply) {
///       reply({.body = "{}"});
///     });
///     connect_to(server.port());
///     server.drain(30.0);
///
/// Connections stay open (keep-alive) and may send requests ahead (pipelining), which are answered
/// in order. Bodies may be compressed (Content-Encoding: gzip or deflate) and chunked. What breaks
/// HTTP's rules or a limit is answered with a 4xx, and its connection is closed; errors are JSON
/// objects {"error": text}. A client that is too slow, or sends nothing, is cut off.
class HttpServer {
 public:
  /// Starts to listen. Throws ConfigError if the options can't be used, the port is taken (naming
  /// it) or the TLS files can't.
  HttpServer(HttpOptions options, HttpHandler handler);
  /// Ends at once: requests in flight aren't answered.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  int64_t port() const;
  /// Connections that are open now.
  int64_t connections() const;

  /// Stops listening, closes idle connections, and waits until the requests that have begun are
  /// answered, at most `seconds`. Returns whether all of them were.
  bool drain(double seconds);

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace levin
