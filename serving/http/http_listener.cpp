#include <levin/serving/http/http_listener.h>

#include <fcntl.h>

#include <cerrno>
#include <chrono>
#include <future>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>

#include <levin/framework/core/error.h>
#include <levin/framework/core/loopback.h>

namespace levin {
namespace {

using ListenError = boost::system::error_code;
using boost::asio::ip::tcp;

ConfigError bind_error(const HttpOptions& options, const ListenError& error) {
  if (error == boost::asio::error::address_in_use) {
    return ConfigError(
        fmt::format("port {} of {} is in use by another program; stop that one, or choose another "
                    "port (0: any that is free)",
                    options.port, options.host));
  }
  if (error == boost::asio::error::access_denied) {
    return ConfigError(
        fmt::format("port {} of {} may not be used by this user; choose one from 1024 on",
                    options.port, options.host));
  }
  return ConfigError(
      fmt::format("can't listen on port {} of {}: {}; check the host, which must be "
                  "an address of this machine",
                  options.port, options.host, error.message()));
}

/// Without the brackets that an IPv6 address has in a URL.
std::string bare_host(const std::string& host) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    return host.substr(1, host.size() - 2);
  }
  return host;
}

}  // namespace

HttpListener::HttpListener(const HttpOptions& options,
                           std::vector<std::unique_ptr<HttpWorker>>& workers)
    : workers_(workers), acceptor_(workers.front()->context()), pause_(workers.front()->context()) {
  bind(options);
}

void HttpListener::bind(const HttpOptions& options) {
  ListenError error;
  tcp::resolver resolver(workers_.front()->context());
  const auto found = resolver.resolve(bare_host(options.host), std::to_string(options.port),
                                      tcp::resolver::passive, error);
  if (error || found.empty()) {
    throw ConfigError(fmt::format(
        "host = '{}': no such address or name is known; give an address of this machine, such as "
        "127.0.0.1, or 0.0.0.0 for all of them",
        options.host));
  }
  // A name may have several addresses, not all of which this machine needs to have.
  for (const auto& entry : found) {
    const tcp::endpoint endpoint = entry.endpoint();
    ListenError ignored;
    acceptor_.close(ignored);
    acceptor_.open(endpoint.protocol(), error);
    if (error) continue;
    ::fcntl(acceptor_.native_handle(), F_SETFD, FD_CLOEXEC);
    acceptor_.set_option(tcp::acceptor::reuse_address(true), ignored);
    if (endpoint.protocol() == tcp::v6()) {
      acceptor_.set_option(boost::asio::ip::v6_only(false), ignored);
    }
    acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(boost::asio::socket_base::max_listen_connections, error);
    if (!error) break;
  }
  if (error) throw bind_error(options, error);
  unpace_loopback(acceptor_.native_handle());
  acceptor_.non_blocking(true, error);
  port_ = acceptor_.local_endpoint().port();
}

void HttpListener::start() {
  boost::asio::post(acceptor_.get_executor(), [this] { accept(); });
}

void HttpListener::accept() {
  auto& worker = *workers_[next_];
  next_ = (next_ + 1) % workers_.size();
  acceptor_.async_accept(
      worker.context(), [this, &worker](const ListenError& error, tcp::socket socket) {
        if (!error) worker.add(std::move(socket));
        if (!acceptor_.is_open()) return;
        if (!error) return accept();
        if (error == boost::asio::error::connection_aborted) return accept();
        // No descriptors or no memory: the connection stays where it waits.
        worker.shared().log("serving: can't accept a connection: " + error.message());
        pause_.expires_after(std::chrono::milliseconds(100));
        pause_.async_wait([this](const ListenError& stopped) {
          if (!stopped && acceptor_.is_open()) accept();
        });
      });
}

void HttpListener::accept_waiting() {
  for (;;) {
    auto& worker = *workers_[next_];
    next_ = (next_ + 1) % workers_.size();
    ListenError error;
    tcp::socket socket = acceptor_.accept(worker.context(), error);
    if (error) return;
    worker.add(std::move(socket));
  }
}

void HttpListener::stop() {
  std::promise<void> done;
  boost::asio::post(acceptor_.get_executor(), [this, &done] {
    if (acceptor_.is_open()) {
      accept_waiting();
      ListenError ignored;
      acceptor_.close(ignored);
    }
    pause_.cancel();
    // A connection may have been accepted whose handler hasn't been called yet.
    boost::asio::post(acceptor_.get_executor(), [&done] { done.set_value(); });
  });
  done.get_future().wait();
}

}  // namespace levin
