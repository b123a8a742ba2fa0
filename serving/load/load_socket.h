#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include <levin/serving/load/http_address.h>

namespace levin {

/// What all connections to a server share: its address and, for https, the certificates that are
/// trusted.
class LoadTarget {
 public:
  /// Looks up the host. `ca_file` is a PEM file with the certificates to trust, by default those of
  /// the system; `is_insecure` trusts any certificate. Throws DataError if the host can't be found,
  /// and ConfigError if the file can't be used.
  LoadTarget(HttpAddress server, const std::string& ca_file, bool is_insecure);
  ~LoadTarget();
  LoadTarget(const LoadTarget&) = delete;
  LoadTarget& operator=(const LoadTarget&) = delete;

  const HttpAddress& server() const { return server_; }

 private:
  friend class LoadSocket;
  struct Tls;

  HttpAddress server_;
  SocketAddress address_;
  std::unique_ptr<Tls> tls_;  // null for http
};

/// A connection over TCP or TLS whose functions never wait.
class LoadSocket {
 public:
  /// What became of an operation. For `read_first` and `write_first`, it has to be called again
  /// once the socket can be read from, or written to.
  enum class Progress { done, read_first, write_first, ended };

  LoadSocket() = default;
  ~LoadSocket() { close(); }
  LoadSocket(const LoadSocket&) = delete;
  LoadSocket& operator=(const LoadSocket&) = delete;

  /// Begins to connect, or goes on with it. `ended`: it failed, and `problem` says why.
  Progress connect(const LoadTarget& target);
  /// Sends bytes and shortens `bytes` by those that were sent.
  Progress write(std::string_view& bytes);
  /// Reads what has come, at most `size` bytes, to `buffer`. `count` is their number; it may be
  /// above 0 whatever is returned. `done`: the buffer is full, and there may be more.
  Progress read(char* buffer, size_t size, size_t& count);
  void close();

  bool is_open() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }
  /// Why the connection couldn't be made, or ended.
  const std::string& problem() const { return problem_; }

 private:
  Progress connect_tls(const LoadTarget& target);
  Progress fail(std::string why);
  Progress after_tls(int result);

  int descriptor_ = -1;
  bool is_connected_ = false;  // over TCP
  void* session_ = nullptr;    // SSL, null for http
  std::string problem_{};
};

/// Makes a connection and closes it again. Throws DataError if that isn't possible within
/// `seconds`.
void require_server(const LoadTarget& target, double seconds);

/// The answer to one request, for what is asked before and after a load.
struct FetchedResponse {
  int status = 0;
  std::string body{};
};

/// Sends a whole HTTP request on a connection of its own and waits for the response, at most
/// `seconds`. Throws DataError if there is none.
FetchedResponse fetch(const LoadTarget& target, std::string_view request, double seconds);

}  // namespace levin
