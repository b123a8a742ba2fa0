#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace levin::test {

/// A small HTTP server on a free port of this machine, for tests of the load generator. It answers
/// the requests of all connections one after another, on one thread.
class FakeServer {
 public:
  /// What is sent for a request, whole; "" closes the connection instead.
  using Answer = std::function<std::string(const std::string& request)>;

  explicit FakeServer(Answer answer) : answer_(std::move(answer)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    ::listen(listener_, 512);
    socklen_t size = sizeof(address);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stop_);
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeServer() {
    ::close(stop_[1]);
    thread_.join();
    for (const auto& each : connections_) ::close(each.descriptor);
    ::close(stop_[0]);
    ::close(listener_);
  }
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  int64_t requests() const { return requests_; }
  int64_t accepted() const { return accepted_; }

  /// A response with a length.
  static std::string response(int status, const std::string& body, const std::string& more = {}) {
    return "HTTP/1.1 " + std::to_string(status) + " Reason\r\n" + more +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }

 private:
  struct Connection {
    int descriptor = -1;
    std::string bytes{};
  };

  void serve() {
    while (true) {
      std::vector<pollfd> waits = {{stop_[0], POLLIN, 0}, {listener_, POLLIN, 0}};
      for (const auto& each : connections_) waits.push_back({each.descriptor, POLLIN, 0});
      ::poll(waits.data(), waits.size(), -1);
      if (waits[0].revents != 0) return;
      for (size_t i = waits.size(); i-- > 2;) {
        if (waits[i].revents != 0 && !read(connections_[i - 2])) {
          ::close(connections_[i - 2].descriptor);
          connections_.erase(connections_.begin() + static_cast<std::ptrdiff_t>(i - 2));
        }
      }
      if (waits[1].revents != 0) {
        const int accepted = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        const int on = 1;
        ::setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        connections_.push_back({accepted, {}});
        ++accepted_;
      }
    }
  }

  /// Answers the requests that are complete. Returns whether the connection stays open.
  bool read(Connection& connection) {
    char buffer[65536];
    const ssize_t got = ::recv(connection.descriptor, buffer, sizeof(buffer), 0);
    if (got <= 0) return false;
    std::string& bytes = connection.bytes;
    bytes.append(buffer, static_cast<size_t>(got));
    while (true) {
      const size_t head = bytes.find("\r\n\r\n");
      if (head == std::string::npos) return true;
      const size_t length_at = bytes.find("\r\nContent-Length: ");
      const size_t body = length_at < head ? std::stoul(bytes.substr(length_at + 18, 12)) : 0;
      if (bytes.size() < head + 4 + body) return true;
      ++requests_;
      const std::string answer = answer_(bytes.substr(0, head + 4 + body));
      bytes.erase(0, head + 4 + body);
      if (answer.empty()) return false;
      if (::send(connection.descriptor, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) {
        return false;
      }
    }
  }

  Answer answer_;
  int listener_ = -1;
  int port_ = 0;
  int stop_[2] = {-1, -1};
  std::vector<Connection> connections_;
  std::atomic<int64_t> requests_{0};
  std::atomic<int64_t> accepted_{0};
  std::thread thread_;
};

}  // namespace levin::test
