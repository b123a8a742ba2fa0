#include <levin/framework/threads/shared_work.h>

#include "framework/eventually.h"
#include "framework/support.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>

#include <ATen/Parallel.h>

#include <levin/framework/threads/threads.h>

namespace levin::shared_work_test {

/// Waits in the work of share_out until as many threads have come.
class Meeting {
 public:
  explicit Meeting(size_t threads) : threads_(threads) {}
  void come() {
    std::unique_lock lock(mutex_);
    come_.insert(std::this_thread::get_id());
    changed_.notify_all();
    changed_.wait(lock, [&] { return come_.size() >= threads_; });
  }

 private:
  size_t threads_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::thread::id> come_;
};

TEST(SharedWork, each_part_is_done_once_with_any_number_of_helpers) {
  for (const int helpers : {0, 1, 3}) {
    const HelperThreads threads(helpers);
    EXPECT_EQ(threads.count(), helpers);
    for (const int64_t parts : {0, 1, 2, 7, 100}) {
      for (int repeat = 0; repeat < 50; ++repeat) {
        std::vector<std::atomic<int>> calls(static_cast<size_t>(parts));
        share_out(parts, [&](int64_t part) { ++calls[static_cast<size_t>(part)]; });
        for (const auto& count : calls) ASSERT_EQ(count, 1);
      }
    }
  }
}

TEST(SharedWork, helpers_take_part_also_after_they_have_slept) {
  const HelperThreads helpers(2);
  for (const int milliseconds : {0, 5, 0}) {
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    // On a busy machine a helper may have been late, and is left asleep for a while.
    ASSERT_TRUE(test::eventually([&] { return helpers.are_free(); }));
    Meeting meeting(3);  // hangs unless three threads come
    share_out(3, [&](int64_t) { meeting.come(); });
  }
}

TEST(SharedWork, a_part_runs_on_one_thread_of_libtorch_and_records_no_graph_on_helpers) {
  ThreadScope scope;
  scope.set({.threads = 2});
  const auto caller = std::this_thread::get_id();
  Meeting meeting(2);
  std::atomic<int> wrong{0};
  share_out(2, [&](int64_t) {
    meeting.come();
    if (at::get_num_threads() != 1 || !is_sharing_out()) ++wrong;
    if (std::this_thread::get_id() != caller && at::GradMode::is_enabled()) ++wrong;
  });
  EXPECT_EQ(wrong, 0);
  EXPECT_FALSE(is_sharing_out());
  EXPECT_EQ(at::get_num_threads(), 2);
}

TEST(SharedWork, the_first_error_is_thrown_and_later_work_is_done) {
  const HelperThreads helpers(2);
  for (int repeat = 0; repeat < 20; ++repeat) {
    EXPECT_THROW(share_out(20,
                           [](int64_t part) {
                             if (part == 3) throw std::runtime_error("part 3");
                           }),
                 std::runtime_error);
    EXPECT_FALSE(is_sharing_out());
    std::atomic<int> calls{0};
    share_out(20, [&](int64_t) { ++calls; });
    EXPECT_EQ(calls, 20);
  }
}

TEST(SharedWork, within_a_part_all_parts_are_done_in_order_by_its_thread) {
  const HelperThreads helpers(3);
  std::atomic<int> wrong{0};
  share_out(4, [&](int64_t) {
    const auto thread = std::this_thread::get_id();
    int64_t next = 0;
    share_out(5, [&](int64_t part) {
      if (part != next++ || std::this_thread::get_id() != thread) ++wrong;
    });
    if (next != 5) ++wrong;
  });
  EXPECT_EQ(wrong, 0);
}

TEST(SharedWork, helpers_belong_to_the_thread_that_made_them) {
  const HelperThreads helpers(2);
  std::thread other([] {
    const auto own = std::this_thread::get_id();
    share_out(4, [&](int64_t) { EXPECT_EQ(std::this_thread::get_id(), own); });
  });
  other.join();
  const auto own = std::this_thread::get_id();
  const HelperThreads none(0);
  share_out(4, [&](int64_t) { EXPECT_EQ(std::this_thread::get_id(), own); });
}

/// Shares out two parts, of which the helper finishes its own long after the caller, as if another
/// program had its core.
void be_late() {
  const auto caller = std::this_thread::get_id();
  const auto started = std::chrono::steady_clock::now();
  Meeting meeting(2);
  std::atomic<bool> caller_is_done{false};
  share_out(2, [&](int64_t) {
    meeting.come();
    if (std::this_thread::get_id() == caller) {
      caller_is_done = true;
      return;
    }
    while (!caller_is_done) std::this_thread::yield();
    const auto taken = std::chrono::steady_clock::now() - started;
    std::this_thread::sleep_for(3 * taken + std::chrono::milliseconds(5));
  });
}

TEST(SharedWork, a_helper_that_comes_too_late_is_left_asleep_for_a_while) {
  const HelperThreads helpers(1);
  const auto caller = std::this_thread::get_id();
  // The pause grows each time. The first ones may be over before a busy machine gets to the work.
  bool was_asleep = false;
  for (int attempt = 0; attempt < 5 && !was_asleep; ++attempt) {
    ASSERT_TRUE(test::eventually([&] { return helpers.are_free(); }));
    be_late();
    std::atomic<int> of_others{0};
    share_out(100, [&](int64_t) {
      if (std::this_thread::get_id() != caller) ++of_others;
    });
    was_asleep = !helpers.are_free();
    if (was_asleep) {
      EXPECT_EQ(of_others, 0);
    }
  }
  EXPECT_TRUE(was_asleep);
  ASSERT_TRUE(test::eventually([&] { return helpers.are_free(); }));
  Meeting again(2);  // hangs unless the helper comes
  share_out(2, [&](int64_t) { again.come(); });
}

}  // namespace levin::shared_work_test
