#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <levin/serving/http/http_worker.h>

namespace levin {

/// Listens, and gives the connections to the workers in turn. It runs on the first worker's thread.
class HttpListener {
 public:
  /// Binds the address. Throws ConfigError if there is no such address or the port is taken.
  HttpListener(const HttpOptions& options, std::vector<std::unique_ptr<HttpWorker>>& workers);

  int64_t port() const { return port_; }
  /// Begins to accept connections.
  void start();
  /// Stops listening, after it has accepted what is waiting to be; not from a worker's thread.
  void stop();

 private:
  void bind(const HttpOptions& options);
  void accept();
  void accept_waiting();

  std::vector<std::unique_ptr<HttpWorker>>& workers_;
  size_t next_ = 0;
  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer pause_;
  int64_t port_ = 0;
};

}  // namespace levin
