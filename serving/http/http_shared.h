#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string_view>

#include <levin/serving/http/bearer_token.h>
#include <levin/serving/http/http_message.h>
#include <levin/serving/http/http_server.h>

namespace levin {

using HttpClock = std::chrono::steady_clock;

inline HttpClock::duration http_seconds(double seconds) {
  return std::chrono::duration_cast<HttpClock::duration>(std::chrono::duration<double>(seconds));
}

/// What all connections of a server share.
class HttpShared {
 public:
  HttpShared(HttpOptions given, HttpHandler answers);

  const HttpOptions options;
  const HttpHandler handler;
  const BearerToken token;

  /// Connections that are served, and those that were refused but aren't closed yet.
  std::atomic<int64_t> open{0};
  std::atomic<int64_t> refused{0};
  /// Set once, by drain().
  std::atomic<bool> draining{false};

  void begin_request() { busy_.fetch_add(1); }
  void end_request();
  /// Waits until no request is in progress, at most until `end`. Returns whether that is so.
  bool wait_until_quiet(HttpClock::time_point end);

  /// Counts `bytes` more, or less if negative, that bodies take. Returns false, and doesn't count
  /// them, if they are more than the options allow.
  bool hold(int64_t bytes);

  /// Logs what happened, at most once a second.
  void log(std::string_view what);

 private:
  std::atomic<int64_t> busy_{0};
  std::atomic<int64_t> held_{0};
  std::mutex mutex_{};
  std::condition_variable quiet_{};
  std::atomic<int64_t> last_log_{0};
};

}  // namespace levin
