#include <levin/framework/core/ranks.h>

#include <gtest/gtest.h>

#include "framework/meeting.h"

namespace levin::single_rank_test {

TEST(SingleRank, returns_its_own_answers_at_once) {
  Ranks& ranks = single_rank();
  EXPECT_EQ(ranks.rank(), 0);
  EXPECT_EQ(ranks.size(), 1);
  EXPECT_TRUE(ranks.is_zero());
  EXPECT_EQ(ranks.from_rank_zero("key", [] { return "own"; }), "own");
  EXPECT_EQ(ranks.from_rank_zero("key", [] { return "next"; }), "next");
  EXPECT_EQ(ranks.gather("text"), std::vector<std::string>{"text"});
  for (const bool raised : {true, false}) {
    EXPECT_EQ(ranks.any(raised), raised);
    EXPECT_EQ(ranks.any_after_step("key", raised), raised);
  }
  ranks.barrier();
}

// The ranks of tests keep the contract that the ranks of strategies keep (tests/distributed).
TEST(ThreadRank, gets_from_rank_zero_what_belongs_to_its_key_and_its_turn) {
  test::Meeting meeting(2);
  const auto asks = [&](size_t rank) {
    return [&meeting, rank](const char* key, const char* value) {
      test::ThreadRank ranks(meeting, rank);
      return ranks.from_rank_zero(key, [&] { return rank == 0 ? value : "not rank 0's"; });
    };
  };
  const auto first = asks(0);
  EXPECT_EQ(first("a", "a1"), "a1");
  EXPECT_EQ(first("b", "b1"), "b1");
  EXPECT_EQ(first("a", "a2"), "a2");
  const auto second = asks(1);
  EXPECT_EQ(second("b", ""), "b1");
  EXPECT_EQ(second("a", ""), "a1");
  EXPECT_EQ(second("a", ""), "a2");
  test::in_threads(2, [&](size_t rank) { EXPECT_EQ(asks(rank)("c", "c1"), "c1"); });
}

}  // namespace levin::single_rank_test
