#include <gtest/gtest.h>

#include <optional>

#include <levin/framework/core/repeated_warnings.h>

namespace levin::repeated_warnings_test {

TEST(RepeatedWarnings, are_left_out_while_there_is_an_object_that_says_so) {
  EXPECT_TRUE(RepeatedWarningsAreLeftOut::is_new("an epoch has 4 steps"));
  EXPECT_TRUE(RepeatedWarningsAreLeftOut::is_new("an epoch has 4 steps"));
  std::optional<RepeatedWarningsAreLeftOut> outer(std::in_place);
  EXPECT_TRUE(RepeatedWarningsAreLeftOut::is_new("an epoch has 4 steps"));
  {
    const RepeatedWarningsAreLeftOut inner;
    EXPECT_FALSE(RepeatedWarningsAreLeftOut::is_new("an epoch has 17 steps"));
    EXPECT_TRUE(RepeatedWarningsAreLeftOut::is_new("a run has 17 steps"));
  }
  EXPECT_FALSE(RepeatedWarningsAreLeftOut::is_new("a run has 3 steps"));
  outer.reset();
  EXPECT_TRUE(RepeatedWarningsAreLeftOut::is_new("a run has 3 steps"));
}

}  // namespace levin::repeated_warnings_test
