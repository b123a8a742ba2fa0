#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace levin::test {

/// A number that only grows, and for which threads wait.
class Gate {
 public:
  void raise_to(int64_t number) {
    {
      const std::lock_guard lock(mutex_);
      number_ = std::max(number_, number);
    }
    changed_.notify_all();
  }
  void wait_for(int64_t number) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return number_ >= number; });
  }
  int64_t number() {
    const std::lock_guard lock(mutex_);
    return number_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t number_ = 0;
};

}  // namespace levin::test
