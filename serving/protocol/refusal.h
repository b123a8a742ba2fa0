#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace levin {

/// Why a request of a client isn't answered: an HTTP status, 400 to 599, and a sentence for the
/// client, which names no path, version or function of the server. It is thrown by what reads a
/// request, and handed on as a value by what answers one.
///
/// It isn't one of Levin's errors, because it is the client's mistake or the server's load, which
/// the operator of the server can't mend.
class Refusal : public std::runtime_error {
 public:
  Refusal(int status, const std::string& message, int retry_after = 0)
      : std::runtime_error(message), status_(status), retry_after_(retry_after) {}

  int status() const { return status_; }
  /// Seconds after which the client may try again (the header Retry-After); 0: not said.
  int retry_after() const { return retry_after_; }

  /// 400: the request breaks the rules of its format, or doesn't fit the model.
  static Refusal malformed(const std::string& message) { return {400, message}; }
  /// 404: no such model, version or address.
  static Refusal not_found(const std::string& message) { return {404, message}; }
  /// 413: larger than the server takes.
  static Refusal too_large(const std::string& message) { return {413, message}; }
  /// 415: a body of another type than those the address takes.
  static Refusal unsupported(const std::string& message) { return {415, message}; }
  /// 429: the queue is full.
  static Refusal overloaded(const std::string& message, int retry_after) {
    return {429, message, retry_after};
  }
  /// 500: the model failed. The reason is logged, not sent.
  static Refusal failed() { return {500, "the model failed on this request"}; }
  /// 503: the server is ending or its queue can't be reached.
  static Refusal unavailable(const std::string& message, int retry_after = 1) {
    return {503, message, retry_after};
  }
  /// 504: the deadline of the request passed before a model could take it.
  static Refusal expired() { return {504, "the deadline of the request has passed"}; }

 private:
  int status_;
  int retry_after_;
};

}  // namespace levin
