#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <levin/serving/http/http_message.h>

namespace levin {

/// Reads requests of HTTP/1.0 and 1.1 from the bytes of a connection, one after another.
///
/// Bytes are given in pieces of any size; those that weren't consumed are given again, with more
/// behind them. What breaks a rule or a limit throws a Refusal of status 400, 413 or 431, after
/// which the parser is of no more use.
class HttpParser {
 public:
  /// Most bytes of the request line and all headers together, and of the body as it is sent.
  HttpParser(int64_t max_header, int64_t max_body);
  ~HttpParser();
  HttpParser(const HttpParser&) = delete;
  HttpParser& operator=(const HttpParser&) = delete;

  /// Begins the next request.
  void reset();
  /// Reads from the front of `input` and returns how many bytes it consumed. 0: it needs more.
  /// It stops behind the header, so that the header can be judged before the body is read.
  size_t parse(std::string_view input);

  bool header_done() const;
  bool done() const;
  /// Bytes of the body that are to come, if the header says so, otherwise 0.
  int64_t body_left() const;

  /// What has been read. The method HEAD is given as GET, which it is answered like, but for the
  /// body; see `head`.
  HttpRequest& request();
  bool head() const;
  /// Whether the client wants the connection to stay open.
  bool keep_alive() const;
  bool http_1_0() const;
  /// The value of the header Expect, in small letters.
  const std::string& expect() const;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace levin
