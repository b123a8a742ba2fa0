#include <levin/serving/http/http_shared.h>

#include <string>
#include <utility>

#include <levin/framework/core/diagnostics.h>

namespace levin {

HttpShared::HttpShared(HttpOptions given, HttpHandler answers)
    : options(std::move(given)), handler(std::move(answers)), token(options.token) {}

void HttpShared::end_request() {
  if (busy_.fetch_sub(1) != 1 || !draining) return;
  const std::lock_guard lock(mutex_);
  quiet_.notify_all();
}

bool HttpShared::wait_until_quiet(HttpClock::time_point end) {
  std::unique_lock lock(mutex_);
  return quiet_.wait_until(lock, end, [this] { return busy_ == 0; });
}

bool HttpShared::hold(int64_t bytes) {
  const int64_t held = held_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (bytes <= 0 || held <= options.memory) return true;
  held_.fetch_sub(bytes, std::memory_order_relaxed);
  return false;
}

void HttpShared::log(std::string_view what) {
  const int64_t now =
      std::chrono::duration_cast<std::chrono::milliseconds>(HttpClock::now().time_since_epoch())
          .count();
  int64_t last = last_log_;
  if (last != 0 && now - last < 1000) return;
  if (!last_log_.compare_exchange_strong(last, now)) return;
  diagnostics::print(std::string(what) + "\n");
}

}  // namespace levin
