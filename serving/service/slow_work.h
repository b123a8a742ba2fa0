#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace levin {

/// Runs what takes long, such as the loading of a model, one after another on a thread of its own,
/// so that the threads of the server go on. The thread starts with the first work.
class SlowWork {
 public:
  SlowWork() = default;
  /// Waits for what is running, and leaves the rest.
  ~SlowWork();
  SlowWork(const SlowWork&) = delete;
  SlowWork& operator=(const SlowWork&) = delete;

  /// Takes over `work`, which must not throw; returns false if 16 others wait already.
  bool run(std::function<void()> work);

 private:
  void work_on();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> waiting_;
  bool is_ending_ = false;
  std::thread thread_;
};

}  // namespace levin
