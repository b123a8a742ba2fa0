#pragma once

#include <algorithm>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "framework/loopback_server.h"

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
  void serve(const std::string& path, HttpAnswer answer) {
    const std::lock_guard lock(mutex_);
    answers_[path] = std::move(answer);
  }
  std::string url(const std::string& path) const { return server_.uri() + path; }
  std::vector<HttpRequest> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void handle(int connection) {
    std::string text;
    while (text.find("\r\n\r\n") == std::string::npos) {
      if (!server_.receive(connection, text)) return;
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
    LoopbackServer::send_all(connection, "HTTP/1.1 " + std::to_string(answer.status) +
                                             " Answer\r\nConnection: close\r\n" + headers + "\r\n");
    const bool cut = answer.cut_after < answer.body.size();
    LoopbackServer::send_all(connection, std::string_view(answer.body).substr(0, answer.cut_after));
    if (!cut || !answer.stall) return;
    std::string ignored;
    while (server_.receive(connection, ignored)) {
    }
  }

  mutable std::mutex mutex_;
  std::map<std::string, HttpAnswer> answers_;
  std::vector<HttpRequest> requests_;
  LoopbackServer server_{[this](int connection) { handle(connection); }};
};

}  // namespace levin::test
