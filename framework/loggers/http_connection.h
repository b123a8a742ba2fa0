#pragma once

#include <atomic>
#include <memory>
#include <string>

namespace levin {

/// What a server answered.
struct HttpAnswer {
  /// The status, such as 200; 0 if there was no answer.
  long status = 0;
  std::string body = {};
  /// Why there was no answer, for people.
  std::string failure = {};

  bool is_ok() const { return status >= 200 && status < 300; }
  /// Whether the same request may succeed later: there was no answer, or the server has a trouble
  /// of its own.
  bool is_worth_retrying() const { return status == 0 || status == 429 || status >= 500; }
};

/// Sends requests to a server over HTTP or HTTPS, by libcurl, and keeps the connection for the next
/// one. Nothing throws after the constructor. Only one thread may use it, except for `abort`.
///
///     HttpConnection server(/*timeout=*/10.0);
///     const HttpAnswer answer = server.send("POST", "http://localhost:5000/x", "{}");
class HttpConnection {
 public:
  /// `timeout` is in seconds, and is that of each request; `authorization` is the header of that
  /// name, or empty. Throws ConfigError if libcurl can't start.
  explicit HttpConnection(double timeout, std::string authorization = {});
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  /// Sends `body`, and waits for the answer. `method` is "GET", "POST" or "PUT".
  HttpAnswer send(const std::string& method, const std::string& url, const std::string& body,
                  const std::string& content_type = "application/json");
  /// Ends the request in progress and all later ones without an answer. Any thread may call it.
  void abort() { aborted_ = true; }

  /// The text as a part of a URL, in which anything but letters, digits and "-._~" is escaped.
  static std::string escaped(const std::string& text);

 private:
  struct Handle;
  std::unique_ptr<Handle> handle_;
  const double timeout_;
  const std::string authorization_;
  std::atomic<bool> aborted_{false};
};

}  // namespace levin
