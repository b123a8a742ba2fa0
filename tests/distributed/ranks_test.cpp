// What ranks ask each other: over a process group, and beside the gradients.
#include <levin/framework/core/ranks.h>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/core/error.h>
#include <levin/framework/strategies/data_parallel.h>
#include <levin/framework/strategies/sharded.h>
#include <levin/framework/strategies/step_flags.h>

#include "distributed/ranks_as_threads.h"
#include "framework/meeting.h"
#include "framework/message_of.h"
#include "framework/support.h"

namespace levin::ranks_test {

using test::as_ranks;
using test::Classifier;
using test::make_points;
using test::Meeting;
using test::ThreadRank;

// --- flags beside the gradients, without any strategy ---

using Numbers = std::array<double, StepFlags::kNumbers>;

/// The ranks of a run, which sum their flags' numbers step after step. If the sums are late, each
/// step reads those of the step before.
class Steps {
 public:
  explicit Steps(size_t ranks, bool are_late = false)
      : are_late_(are_late), flags_(ranks), gathered_(ranks, 0), meeting_(ranks) {}

  StepFlags& rank(size_t r) { return flags_[r]; }
  /// One step; the number of times that names were exchanged in it.
  int take() {
    if (!are_late_) sum();
    test::in_threads(flags_.size(), [&](size_t r) {
      ThreadRank ranks(meeting_, r);
      flags_[r].read(sums_, ranks);
      gathered_[r] = ranks.gathered;
    });
    if (are_late_) sum();
    for (const int gathered : gathered_) EXPECT_EQ(gathered, gathered_.front());
    return gathered_.front();
  }
  /// Whether each rank is told of the key, 'x' or '.', in the order of the ranks.
  std::string told(const std::string& key) {
    std::string all;
    for (auto& flags : flags_) all += flags.agreed(key, false) ? 'x' : '.';
    return all;
  }

 private:
  void sum() {
    sums_.fill(0.0);
    for (const auto& flags : flags_) {
      Numbers own{};
      flags.write(own);
      for (size_t i = 0; i < sums_.size(); ++i) sums_[i] += own[i];
    }
  }
  bool are_late_;
  Numbers sums_{};
  std::vector<StepFlags> flags_;
  std::vector<int> gathered_;
  Meeting meeting_;
};

TEST(StepFlags, tell_all_ranks_once_after_the_next_step) {
  Steps steps(3);
  EXPECT_FALSE(steps.rank(1).agreed("stop", true));
  EXPECT_EQ(steps.told("stop"), "...") << "before the step";
  steps.take();
  EXPECT_EQ(steps.told("stop"), "xxx");
  EXPECT_EQ(steps.told("stop"), "...") << "told once";
  steps.take();
  EXPECT_EQ(steps.told("stop"), "...");
  EXPECT_EQ(steps.told("other"), "...");
}

TEST(StepFlags, keep_what_nobody_has_asked_for_yet) {
  Steps steps(2);
  steps.rank(0).agreed("stop", true);
  steps.take();
  steps.take();  // of a step that has several windows
  EXPECT_EQ(steps.told("stop"), "xx");
}

TEST(StepFlags, exchange_names_only_when_a_key_is_raised_for_the_first_time) {
  Steps steps(2);
  EXPECT_EQ(steps.take(), 0);
  steps.rank(0).agreed("a", true);
  EXPECT_EQ(steps.take(), 1);
  EXPECT_EQ(steps.told("a"), "xx");
  for (const size_t rank : {size_t{0}, size_t{1}}) {
    steps.rank(rank).agreed("a", true);
    EXPECT_EQ(steps.take(), 0);
    EXPECT_EQ(steps.told("a"), "xx");
  }
  steps.rank(1).agreed("b", true);
  steps.rank(0).agreed("a", true);
  EXPECT_EQ(steps.take(), 1);
  EXPECT_EQ(steps.told("a") + steps.told("b"), "xxxx");
}

TEST(StepFlags, have_any_number_of_keys_asked_for_in_any_order) {
  constexpr size_t kKeys = 20;
  const auto name = [](size_t key) { return "key " + std::to_string(key); };
  Steps steps(3);
  for (size_t i = 0; i < kKeys; ++i) {
    for (size_t rank = 0; rank < 3; ++rank) {
      const size_t key = (i + 7 * rank) % kKeys;
      steps.rank(rank).agreed(name(key), key % 3 == rank && key != 4);
    }
  }
  steps.take();
  for (size_t key = 0; key < kKeys; ++key) {
    EXPECT_EQ(steps.told(name(key)), key == 4 ? "..." : "xxx") << key;
  }
  for (int again = 0; again < 2; ++again) {  // each by itself, with a number of its own or without
    for (size_t key = 0; key < kKeys; ++key) {
      steps.rank((key + 1) % 3).agreed(name(key), true);
      steps.take();
      for (size_t other = 0; other < kKeys; ++other) {
        EXPECT_EQ(steps.told(name(other)), key == other ? "xxx" : "...") << key << " " << other;
      }
    }
  }
}

TEST(StepFlags, forget_all_keys_when_cleared) {
  Steps steps(2);
  steps.rank(0).agreed("a", true);
  for (const size_t rank : {size_t{0}, size_t{1}}) steps.rank(rank).clear();
  EXPECT_EQ(steps.take(), 0);
  EXPECT_EQ(steps.told("a"), "..");
}

TEST(StepFlags, tell_late_sums_a_step_later_and_once_whoever_raises_meanwhile) {
  Steps steps(3, /*are_late=*/true);
  for (int again = 0; again < 2; ++again) {  // first by name, then by number
    steps.rank(1).agreed("stop", true);
    steps.take();
    EXPECT_EQ(steps.told("stop"), "...") << "under way";
    steps.rank(1).agreed("stop", true);
    steps.rank(2).agreed("stop", true);
    steps.take();
    EXPECT_EQ(steps.told("stop"), "xxx");
    for (int step = 0; step < 3; ++step) {
      steps.take();
      EXPECT_EQ(steps.told("stop"), "...") << "told again";
    }
  }
}

TEST(StepFlags, keep_for_late_sums_what_is_raised_when_told_of_an_earlier_flag) {
  Steps steps(2, /*are_late=*/true);
  steps.rank(0).agreed("stop", true);
  steps.take();
  steps.take();
  EXPECT_EQ(steps.told("stop"), "xx");
  steps.rank(1).agreed("stop", true);  // another occasion
  steps.take();
  EXPECT_EQ(steps.told("stop"), "..");
  steps.take();
  EXPECT_EQ(steps.told("stop"), "xx");
}

TEST(StepFlags, exchange_names_with_late_sums_at_the_step_that_reads_them) {
  Steps steps(2, /*are_late=*/true);
  steps.rank(0).agreed("a", true);
  EXPECT_EQ(steps.take(), 0);
  steps.rank(1).agreed("b", true);  // not written yet, but exchanged with the other name
  EXPECT_EQ(steps.take(), 1);
  EXPECT_EQ(steps.told("a") + steps.told("b"), "xxxx");
  EXPECT_EQ(steps.take(), 0);
  steps.rank(0).agreed("b", true);
  for (const char* told : {"..", "xx", ".."}) {
    EXPECT_EQ(steps.take(), 0);
    EXPECT_EQ(steps.told("b"), told);
  }
}

// --- the ranks of strategies, a thread each ---

/// The ranks of data parallelism (0) and of the sharded stages, with sums that are late or not.
class RanksOfStrategy : public ::testing::TestWithParam<std::tuple<int64_t, bool>> {
 protected:
  static bool are_late() { return std::get<1>(GetParam()); }
  static void on_ranks(int64_t size, const std::function<void(Strategy&)>& work) {
    as_ranks(size, [&](const Cluster& cluster) {
      const int64_t stage = std::get<0>(GetParam());
      const DataParallelOptions options{.sums_are_late = are_late()};
      std::unique_ptr<Strategy> strategy;
      if (stage == 0) {
        strategy = std::make_unique<DataParallelStrategy>(cluster, at::kCPU, options);
      } else {
        strategy = std::make_unique<ShardedStrategy>(
            cluster, at::kCPU, ShardedOptions{.data_parallel = options, .stage = stage});
      }
      work(*strategy);
      strategy->ranks().barrier();
    });
  }
};

TEST_P(RanksOfStrategy, know_their_place_and_gather_in_order) {
  on_ranks(3, [](Strategy& strategy) {
    Ranks& ranks = strategy.ranks();
    EXPECT_EQ(ranks.size(), 3);
    EXPECT_EQ(ranks.is_zero(), ranks.rank() == 0);
    const std::string own(static_cast<size_t>(ranks.rank()), '\0');
    const std::vector<std::string> all = {"", std::string(1, '\0'), std::string(2, '\0')};
    EXPECT_EQ(ranks.gather(own), all);
    EXPECT_TRUE(ranks.any(ranks.rank() == 2));
    EXPECT_FALSE(ranks.any(false));
  });
}

TEST_P(RanksOfStrategy, get_from_rank_zero_what_belongs_to_their_key_and_its_turn) {
  std::atomic<int> made{0};
  on_ranks(2, [&](Strategy& strategy) {
    Ranks& ranks = strategy.ranks();
    const auto ask = [&](const char* key, const char* value) {
      return ranks.from_rank_zero(key, [&] {
        ++made;
        return ranks.is_zero() ? std::string(value) : "not rank 0's";
      });
    };
    if (ranks.is_zero()) {  // all it has to say, before the other asks anything
      EXPECT_EQ(ask("a", "a1"), "a1");
      EXPECT_EQ(ask("b", "b1"), "b1");
      EXPECT_EQ(ask("a", "a2"), "a2");
      ranks.barrier();
    } else {
      ranks.barrier();
      EXPECT_EQ(ask("b", ""), "b1");
      EXPECT_EQ(ask("a", ""), "a1");
      EXPECT_EQ(ask("a", ""), "a2");
    }
  });
  EXPECT_EQ(made, 3);
}

TEST_P(RanksOfStrategy, answer_twenty_keys_after_a_step_alike) {
  constexpr int64_t kKeys = 20;
  on_ranks(3, [](Strategy& strategy) {
    Classifier module;
    strategy.setup(module);
    Ranks& ranks = strategy.ranks();
    const auto points = make_points(16, static_cast<uint64_t>(ranks.rank()));
    const auto step = [&] {
      const auto loss = torch::cross_entropy_loss(module.forward(points.input), points.target);
      const auto rows = strategy.backward(module, loss, 1.0 / 3.0, 16.0);
      EXPECT_EQ(rows, are_late() ? std::nullopt : std::optional(48.0));
    };
    for (int64_t number = 0; number < 3; ++number) {
      for (int64_t i = 0; i < kKeys; ++i) {
        const int64_t key = (i * 3 + ranks.rank()) % kKeys;      // each rank in an order of its own
        const bool raised = (key + number) % 4 == ranks.rank();  // one in four isn't raised at all
        EXPECT_FALSE(ranks.any_after_step("key " + std::to_string(key), raised));
      }
      step();
      if (are_late()) {
        for (int64_t key = 0; key < kKeys; ++key) {
          EXPECT_FALSE(ranks.any_after_step("key " + std::to_string(key), false));
        }
        step();
      }
      for (int64_t key = 0; key < kKeys; ++key) {
        EXPECT_EQ(ranks.any_after_step("key " + std::to_string(key), false), (key + number) % 4 < 3)
            << "key " << key << ", step " << number << ", rank " << ranks.rank();
      }
    }
    strategy.teardown(module);
  });
}

INSTANTIATE_TEST_SUITE_P(Stage, RanksOfStrategy,
                         ::testing::Combine(::testing::Values(0, 1, 2), ::testing::Bool()));

TEST(DataParallelOptions, the_backend_of_the_trainers_options_is_asked_for) {
  Classifier model;
  test::PointsModule data(12, {.batch_size = 6});
  Trainer trainer({.accelerator = "cpu", .strategy = "ddp", .process_group_backend = "nccl"});
  EXPECT_TRUE(test::says(test::message_of<ConfigError>([&] { trainer.fit(model, data); }),
                         {"backend = nccl on device cpu"}));
}

}  // namespace levin::ranks_test
