#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <levin/framework/core/files.h>
#include <levin/framework/core/ranks.h>

namespace levin::test {

/// Where ranks that are threads of this process exchange texts.
class Meeting {
 public:
  explicit Meeting(size_t size) : size_(size) {}
  size_t size() const { return size_; }
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
  /// Ranks::from_rank_zero: only a rank that is ahead of rank 0 waits, and keys are told apart.
  std::string from_rank_zero(size_t rank, const std::string& key,
                             const std::function<std::string()>& make) {
    std::string own;
    if (rank == 0) own = make();
    std::unique_lock lock(mutex_);
    auto& made = made_[key];
    if (rank == 0) {
      made.push_back(own);
      everybody_.notify_all();
      return own;
    }
    const size_t number = calls_[{rank, key}]++;
    everybody_.wait(lock, [&] { return made.size() > number; });
    return made[number];
  }

 private:
  size_t size_;
  std::mutex mutex_;
  std::condition_variable everybody_;
  std::vector<std::string> coming_;
  std::vector<std::string> all_;
  size_t here_ = 0;
  size_t number_ = 0;
  std::map<std::string, std::vector<std::string>> made_;    // by rank 0, for each key
  std::map<std::pair<size_t, std::string>, size_t> calls_;  // of the other ranks with each key
};

/// One of the ranks of a meeting.
class ThreadRank : public Ranks {
 public:
  ThreadRank(Meeting& meeting, size_t rank) : meeting_(meeting), rank_(rank) {}
  int64_t rank() const override { return static_cast<int64_t>(rank_); }
  int64_t size() const override { return static_cast<int64_t>(meeting_.size()); }
  std::string from_rank_zero(const std::string& key,
                             const std::function<std::string()>& make) override {
    return meeting_.from_rank_zero(rank_, key, make);
  }
  bool any(bool raised) override {
    const auto all = gather(raised ? "raised" : "");
    return std::find(all.begin(), all.end(), "raised") != all.end();
  }
  std::vector<std::string> gather(const std::string& own) override {
    ++gathered;
    return meeting_.gather(rank_, own);
  }
  void barrier() override { gather(""); }

  int gathered = 0;  // times

 private:
  Meeting& meeting_;
  size_t rank_;
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
