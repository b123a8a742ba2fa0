#pragma once

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "distributed/run_ranks.h"

// Runs of which a rank is killed while it trains.

namespace levin::test {

/// Says once, by a line in the file `marks` of the settings if there is one, that this rank trains.
class TrainingMark {
 public:
  void leave(const Value& settings) {
    if (!settings.contains("marks") || std::exchange(is_left_, true)) return;
    std::ofstream(settings.at("marks").as_string(), std::ios::app) << ::getpid() << std::endl;
  }

 private:
  bool is_left_ = false;
};

class KilledRankTest : public RanksTest {
 protected:
  /// Runs `work`, whose module leaves a TrainingMark, on `ranks` ranks without timeouts, and kills
  /// one of them (kill -9) at a random moment of the training. Expects all to end with its name.
  template <class Work>
  void kill_at_a_random_moment(int64_t ranks, const std::string& name, Value more, Work work) {
    std::mt19937 random(std::random_device{}());
    more["trainer"]["devices"] = ranks;
    more["trainer"]["heartbeat_timeout"] = 3600.0;
    more["trainer"]["process_group_timeout"] = 3600.0;
    more["marks"] = (folder_ / ("marks-" + name)).string();
    const Value all = settings(name, more);
    const auto started = fork_ranks(ranks, all, work);
    const fs::path marks = all.at("marks").as_string();
    ASSERT_TRUE(eventually(
        [&] { return fs::exists(marks) && lines_of(read_file(marks)).size() == started.size(); }));
    const size_t victim = random() % started.size();
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 50000));
    ASSERT_EQ(::kill(started[victim], SIGKILL), 0);
    for (size_t rank = 0; rank < started.size(); ++rank) {
      const auto ended = wait(started[rank], all);
      EXPECT_EQ(ended.status, rank == victim ? 128 + SIGKILL : 1) << ended.err;
      if (rank + 1 < started.size()) continue;
      EXPECT_NE(ended.err.find(fmt::format("rank {}", victim)), std::string::npos) << ended.err;
    }
  }
};

}  // namespace levin::test
