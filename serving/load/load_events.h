#pragma once

#include <sys/epoll.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include <levin/framework/threads/awake_waits.h>

namespace levin {

/// Waits until connections can be read from or written to, or a time has come, to the microsecond.
class LoadEvents {
 public:
  /// Throws std::system_error if the system has no descriptors left.
  LoadEvents();
  ~LoadEvents();
  LoadEvents(const LoadEvents&) = delete;
  LoadEvents& operator=(const LoadEvents&) = delete;

  /// Waits for `events` (EPOLLIN, EPOLLOUT) of a descriptor from now on; `was_watched`: for others
  /// before. Closing a descriptor ends this.
  void watch(int descriptor, size_t index, uint32_t events, bool was_watched);

  /// Waits until something has happened or the clock shows `until`, and returns the indices of the
  /// descriptors to which something has happened. They are valid until the next call.
  /// `may_stay_awake`: whether the thread may wait without sleeping if events follow each other
  /// closely.
  const std::vector<size_t>& wait(int64_t until, bool may_stay_awake);
  /// About how much processor time waiting without sleeping has taken, in nanoseconds.
  int64_t time_awake() const { return waits_.time_awake().count(); }

  /// The clock, in nanoseconds; it never goes back.
  static int64_t now();

 private:
  /// Notes what has happened, or happens within `timeout_ms` (-1: at any time). Returns whether
  /// anything has.
  bool collect(int timeout_ms);

  int epoll_ = -1;
  int timer_ = -1;
  int64_t armed_ = 0;  // for when the timer is set; 0: not at all
  std::vector<epoll_event> events_;
  std::vector<size_t> ready_;
  AwakeWaits<> waits_{};
};

}  // namespace levin
