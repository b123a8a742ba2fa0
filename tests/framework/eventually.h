#pragma once

#include <chrono>
#include <functional>
#include <thread>

namespace levin::test {

inline double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Seconds after which a test that waits for an event says that it hangs. No event takes that long
/// on the busiest machine. What a test starts lasts for an hour unless the event ends it, so that
/// an end within this time has no other cause.
inline constexpr double kHangSeconds = 60;

/// Whether `holds` does before `seconds` are over.
inline bool eventually(const std::function<bool()>& holds, double seconds = kHangSeconds) {
  for (const double end = seconds_now() + seconds; !holds();) {
    if (seconds_now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace levin::test
