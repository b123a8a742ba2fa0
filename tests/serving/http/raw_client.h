#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <levin/serving/http/http_message.h>

#include "framework/eventually.h"

namespace levin::test {

struct RawResponse {
  int status = 0;  // 0: the connection ended before a whole response came
  std::string head{};
  HttpHeaders headers{};
  std::string body{};

  std::string_view operator[](std::string_view name) const { return header(headers, name); }
};

/// A connection to 127.0.0.1 that sends what a test says, right or wrong, and reads responses.
class RawClient {
 public:
  /// `before`: called before it connects, when it has its descriptor.
  explicit RawClient(int64_t port, const std::function<void()>& before = {})
      : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval limit = {static_cast<time_t>(kHangSeconds), 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (before) before();
    if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      ::close(socket_);
      throw std::runtime_error("the test can't connect to the server");
    }
  }
  ~RawClient() {
    if (socket_ >= 0) ::close(socket_);
  }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  int descriptor() const { return socket_; }

  /// Returns whether all of it could be sent.
  bool send(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t sent = ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  void shut_down_sending() const { ::shutdown(socket_, SHUT_WR); }

  /// Reads a response; `to_head`: to a HEAD request, whose response has no body.
  RawResponse response(bool to_head = false) {
    RawResponse result;
    size_t end = 0;
    while ((end = input_.find("\r\n\r\n")) == std::string::npos) {
      if (!receive()) return {};
    }
    result.head = input_.substr(0, end + 2);
    input_.erase(0, end + 4);
    const int status = std::atoi(result.head.c_str() + result.head.find(' '));
    for (size_t at = result.head.find("\r\n") + 2; at < result.head.size();) {
      const size_t line_end = result.head.find("\r\n", at);
      const std::string line = result.head.substr(at, line_end - at);
      const size_t colon = line.find(':');
      result.headers.emplace_back(line.substr(0, colon), line.substr(colon + 2));
      at = line_end + 2;
    }
    const auto size =
        static_cast<size_t>(std::atoll(std::string(result["Content-Length"]).c_str()));
    while (!to_head && input_.size() < size) {
      if (!receive()) return {};
    }
    if (!to_head) {
      result.body = input_.substr(0, size);
      input_.erase(0, size);
    }
    result.status = status;
    return result;
  }

  RawResponse ask(std::string_view request) {
    send(request);
    return response();
  }

  /// Waits until the server has closed the connection; whether nothing more came before that.
  bool ended() {
    while (receive()) continue;
    return input_.empty() && ended_;
  }

 private:
  bool receive() {
    char buffer[65536];
    const ssize_t got = ::recv(socket_, buffer, sizeof buffer, 0);
    if (got <= 0) {
      ended_ = got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
      return false;
    }
    input_.append(buffer, static_cast<size_t>(got));
    return true;
  }

  int socket_;
  std::string input_{};
  bool ended_ = false;
};

inline std::string get_request(std::string_view path, std::string_view headers = {}) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: test\r\n" + std::string(headers) + "\r\n";
}

inline std::string post_request(std::string_view path, std::string_view body,
                                std::string_view headers = {}) {
  return "POST " + std::string(path) + " HTTP/1.1\r\nHost: test\r\n" + std::string(headers) +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

}  // namespace levin::test
