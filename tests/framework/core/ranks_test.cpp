#include <levin/framework/core/ranks.h>

#include <gtest/gtest.h>

namespace levin::single_rank_test {

TEST(SingleRank, answers_at_once_what_it_says_itself) {
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

}  // namespace levin::single_rank_test
