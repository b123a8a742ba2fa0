#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <levin/framework/core/files.h>

namespace levin::test {

/// Strategy::gather_text for ranks that are threads of this process.
class Meeting {
 public:
  explicit Meeting(size_t size) : size_(size) {}
  std::vector<std::string> gather(size_t rank, const std::string& own) {
    std::unique_lock lock(mutex_);
    if (coming_.empty()) coming_.resize(size_);
    coming_[rank] = own;
    const size_t number = number_;
    if (++here_ == size_) {
      all_ = std::move(coming_);
      coming_ = {};
      here_ = 0;
      ++number_;
      everybody_.notify_all();
    }
    everybody_.wait(lock, [&] { return number_ != number; });
    return all_;
  }

 private:
  size_t size_;
  std::mutex mutex_;
  std::condition_variable everybody_;
  std::vector<std::string> coming_;
  std::vector<std::string> all_;
  size_t here_ = 0;
  size_t number_ = 0;
};

/// Runs `rank(r)` for each rank in a thread of its own.
inline void in_threads(size_t ranks, const std::function<void(size_t)>& rank) {
  std::vector<std::thread> threads;
  for (size_t r = 0; r < ranks; ++r) threads.emplace_back(rank, r);
  for (auto& thread : threads) thread.join();
}

/// A clock for each thread, which it moves itself.
class ThreadClocks {
 public:
  ThreadClocks() {
    files::inject_clock([] { return now(); });
  }
  ~ThreadClocks() { files::inject_clock({}); }
  ThreadClocks(const ThreadClocks&) = delete;
  ThreadClocks& operator=(const ThreadClocks&) = delete;
  static double& now() {
    thread_local double moment = 0.0;
    return moment;
  }
};

}  // namespace levin::test
