#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace levin::test {

/// Listens on a free port of 127.0.0.1 in a thread of the test, one connection at a time. Make it
/// the last member of a server, so that it ends before what its handler uses.
class LoopbackServer {
 public:
  /// `handle` gets each connection, which is closed afterwards.
  explicit LoopbackServer(std::function<void(int connection)> handle)
      : handle_(std::move(handle)), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    if (listener_ < 0 || ::bind(listener_, any, size) != 0 || ::listen(listener_, 16) != 0 ||
        ::getsockname(listener_, any, &size) != 0 || ::pipe(stop_) != 0) {
      throw std::runtime_error("the test's HTTP server can't listen");
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  LoopbackServer(const LoopbackServer&) = delete;
  LoopbackServer& operator=(const LoopbackServer&) = delete;
  ~LoopbackServer() {
    ::close(stop_[1]);
    thread_.join();
    ::close(stop_[0]);
    ::close(listener_);
  }

  /// "http://127.0.0.1:PORT".
  std::string uri() const { return "http://127.0.0.1:" + std::to_string(port_); }
  /// Waits until `descriptor` can be read; false where the server is to stop.
  bool wait_for(int descriptor) const {
    pollfd events[2] = {{descriptor, POLLIN, 0}, {stop_[0], POLLIN, 0}};
    ::poll(events, 2, -1);
    return events[1].revents == 0;
  }
  /// Adds what comes next to `text`; false if nothing does, or the server is to stop.
  bool receive(int connection, std::string& text) const {
    if (!wait_for(connection)) return false;
    char buffer[4096];
    const ssize_t got = ::recv(connection, buffer, sizeof buffer, 0);
    if (got <= 0) return false;
    text.append(buffer, static_cast<size_t>(got));
    return true;
  }
  static void send_all(int connection, std::string_view data) {
    while (!data.empty()) {
      const ssize_t sent = ::send(connection, data.data(), data.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      data.remove_prefix(static_cast<size_t>(sent));
    }
  }

 private:
  void run() {
    while (wait_for(listener_)) {
      const int connection = ::accept(listener_, nullptr, nullptr);
      if (connection < 0) continue;
      handle_(connection);
      ::close(connection);
    }
  }

  std::function<void(int connection)> handle_;
  int listener_;
  int stop_[2] = {};
  int port_ = 0;
  std::thread thread_;
};

}  // namespace levin::test
