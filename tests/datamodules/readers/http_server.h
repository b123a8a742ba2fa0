#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace levin::test {

/// What the server does when a path is asked for.
struct HttpAnswer {
  std::string body = {};
  int status = 200;
  /// Honours "Range: bytes=N-".
  bool ranges = true;
  /// Added to the start that a Range asks for: a server that sends the wrong part.
  size_t range_error = 0;
  /// Closes the connection after so many bytes of the body, the first `cuts` times.
  size_t cut_after = std::string::npos;
  int cuts = 1'000'000;
  /// Leaves the connection open without a byte more where it would have closed it.
  bool stall = false;
  /// Says how long the body is.
  bool content_length = true;
  std::string location = {};
};

struct HttpRequest {
  std::string path = {};
  /// The value of the Range header, or "".
  std::string range = {};
};

/// A server on a free port of 127.0.0.1, in a thread of the test, one connection at a time.
class HttpServer {
 public:
  HttpServer() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
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
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer() {
    ::close(stop_[1]);
    thread_.join();
    ::close(stop_[0]);
    ::close(listener_);
  }

  void serve(const std::string& path, HttpAnswer answer) {
    const std::lock_guard lock(mutex_);
    answers_[path] = std::move(answer);
  }
  std::string url(const std::string& path) const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  std::vector<HttpRequest> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  /// Waits until `descriptor` can be read; false where the server is to stop.
  bool wait_for(int descriptor) const {
    pollfd events[2] = {{descriptor, POLLIN, 0}, {stop_[0], POLLIN, 0}};
    ::poll(events, 2, -1);
    return events[1].revents == 0;
  }

  void run() {
    while (wait_for(listener_)) {
      const int connection = ::accept(listener_, nullptr, nullptr);
      if (connection < 0) continue;
      handle(connection);
      ::close(connection);
    }
  }

  void handle(int connection) {
    std::string text;
    char buffer[4096];
    while (text.find("\r\n\r\n") == std::string::npos) {
      if (!wait_for(connection)) return;
      const ssize_t got = ::recv(connection, buffer, sizeof buffer, 0);
      if (got <= 0) return;
      text.append(buffer, static_cast<size_t>(got));
    }
    const size_t path_start = text.find(' ') + 1;
    HttpRequest request;
    request.path = text.substr(path_start, text.find(' ', path_start) - path_start);
    constexpr std::string_view kRange = "\r\nRange: ";
    if (const size_t at = text.find(kRange); at != std::string::npos) {
      const size_t start = at + kRange.size();
      request.range = text.substr(start, text.find("\r\n", start) - start);
    }
    HttpAnswer answer;
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
      const auto found = answers_.find(request.path);
      if (found == answers_.end()) {
        answer = {.body = "not here", .status = 404};
      } else {
        answer = found->second;
        if (answer.cut_after != std::string::npos && found->second.cuts-- <= 0) {
          answer.cut_after = std::string::npos;
        }
      }
    }
    reply(connection, request, answer);
  }

  void reply(int connection, const HttpRequest& request, HttpAnswer answer) const {
    std::string headers;
    const size_t total = answer.body.size();
    if (answer.ranges && answer.status == 200 && request.range.starts_with("bytes=")) {
      const size_t start = std::stoul(request.range.substr(6)) + answer.range_error;
      if (start >= total) {
        answer.status = 416;
        answer.body.clear();
        headers += "Content-Range: bytes */" + std::to_string(total) + "\r\n";
      } else {
        answer.status = 206;
        answer.body.erase(0, start);
        headers += "Content-Range: bytes " + std::to_string(start) + "-" +
                   std::to_string(total - 1) + "/" + std::to_string(total) + "\r\n";
      }
    }
    if (!answer.location.empty()) headers += "Location: " + answer.location + "\r\n";
    if (answer.content_length) {
      headers += "Content-Length: " + std::to_string(answer.body.size()) + "\r\n";
    }
    send_all(connection, "HTTP/1.1 " + std::to_string(answer.status) +
                             " Answer\r\nConnection: close\r\n" + headers + "\r\n");
    const bool cut = answer.cut_after < answer.body.size();
    send_all(connection, std::string_view(answer.body).substr(0, answer.cut_after));
    if (!cut || !answer.stall) return;
    char byte = 0;
    while (wait_for(connection) && ::recv(connection, &byte, 1, 0) > 0) {
    }
  }

  static void send_all(int connection, std::string_view data) {
    while (!data.empty()) {
      const ssize_t sent = ::send(connection, data.data(), data.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      data.remove_prefix(static_cast<size_t>(sent));
    }
  }

  int listener_;
  int stop_[2] = {};
  int port_ = 0;
  mutable std::mutex mutex_;
  std::map<std::string, HttpAnswer> answers_;
  std::vector<HttpRequest> requests_;
  std::thread thread_;
};

}  // namespace levin::test
