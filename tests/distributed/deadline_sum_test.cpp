// Sums that don't wait for late ranks, each rank a thread of this process. A rank is late because
// it waits at a gate until the others have gone on.
#include <levin/framework/collectives/deadline_sum.h>

#include <array>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include "distributed/gate.h"
#include "distributed/joined_ranks.h"

namespace levin::deadline_sum_test {

using test::Gate;

/// What rank `rank` adds in `round`: a number that says so, in every entry.
double part_of(int64_t rank, int64_t round) {
  return std::ldexp(1.0 + static_cast<double>(round), static_cast<int>(10 * rank));
}

// Row 43 of the requirements: whole parts or none.
TEST(DeadlineSum, has_whole_parts_of_the_ranks_in_time_and_gives_all_ranks_all_sums) {
  constexpr int64_t kRanks = 3;
  constexpr int64_t kRounds = 6;
  constexpr int64_t kSize = 70'000;
  Gate taken_by_zero;
  Gate sent_by_two;
  test::on_ranks(kRanks, [&](ProcessGroup& group) {
    const int64_t rank = group.rank();
    ProcessGroup own(group, "own");
    DeadlineSum sums(own, {.seconds = 0.02, .size = kSize, .flags = 2});
    sums.start();
    for (int64_t round = 0; round < kRounds; ++round) {
      // Rank 2 computes its part of round 1 until the others have taken round 3. In the last round
      // it is the first one, and doesn't start the clock.
      if (rank == 2 && round == 1) taken_by_zero.wait_for(4);
      if (rank != 2 && round == kRounds - 1) sent_by_two.wait_for(1);
      std::vector<double> flags{rank == 2 && round == 2 ? 1.0 : 0.0, 0.0};
      if (!sums.is_behind() && sums.begin()) {
        auto message = sums.message();
        message.body.fill_(part_of(rank, round));
        sums.send(message, flags, rank != 2);
      } else {
        sums.raise(flags);
      }
      if (rank == 2 && round == kRounds - 1) sent_by_two.raise_to(1);
      const auto sum = sums.take();
      if (rank == 0) taken_by_zero.raise_to(round + 1);
      double expected = 0.0;
      for (int64_t each = 0; each < kRanks; ++each) {
        if (sum.in_time[static_cast<size_t>(each)]) expected += part_of(each, round);
      }
      EXPECT_EQ(sum.body.min().item<double>(), expected) << "rank " << rank << ", round " << round;
      EXPECT_EQ(sum.body.max().item<double>(), expected) << "rank " << rank << ", round " << round;
      EXPECT_EQ(sum.in_time[static_cast<size_t>(rank)], sum.sent == DeadlineSum::Sent::part);
      if (round >= 1 && round <= 3) {
        EXPECT_FALSE(sum.in_time[2]) << "round " << round;
      }
      if (round == kRounds - 1) {
        EXPECT_TRUE(sum.in_time[2]);
      }
      EXPECT_EQ(sum.flags.size(), 2U);
      EXPECT_EQ(sum.flags[1], 0.0);
    }
    EXPECT_GE(sums.bytes(), kRounds * 4 * (kSize * 8 / 3));
  });
}

TEST(DeadlineSum, tells_of_the_flag_of_a_late_rank_once_and_in_the_same_round) {
  constexpr int64_t kRounds = 8;
  Gate taken_by_zero;
  Gate raised_by_one;
  std::array<std::vector<int64_t>, 2> told;
  test::on_ranks(2, [&](ProcessGroup& group) {
    const auto rank = static_cast<size_t>(group.rank());
    ProcessGroup own(group, "own");
    DeadlineSum sums(own, {.seconds = 0.02, .size = 3, .flags = 1});
    sums.start();
    bool raised = false;
    for (int64_t round = 0; round < kRounds; ++round) {
      // Rank 1 is late from round 2 on, in which it raises its flag; rank 0 sends round 4 when it
      // has done so.
      if (rank == 1 && round >= 2 && !sums.is_behind()) taken_by_zero.wait_for(round + 1);
      if (rank == 0 && round == 4) raised_by_one.wait_for(1);
      raised = raised || (rank == 1 && round == 2);
      const std::vector<double> flags{raised ? 1.0 : 0.0};
      if (!sums.is_behind() && sums.begin()) {
        auto message = sums.message();
        message.body.fill_(1.0);
        sums.send(message, flags, rank == 0);
      } else {
        sums.raise(flags);
      }
      if (rank == 1 && round == 2) raised_by_one.raise_to(1);
      const auto sum = sums.take();
      if (rank == 0) taken_by_zero.raise_to(round + 1);
      if (sum.flags[0] > 0.5) {
        EXPECT_EQ(sum.flags[0], 1.0);
        told[rank].push_back(round);
        raised = false;
      }
    }
  });
  ASSERT_EQ(told[0].size(), 1U);
  EXPECT_EQ(told[1], told[0]);
  EXPECT_LE(told[0][0], 4);
}

}  // namespace levin::deadline_sum_test
