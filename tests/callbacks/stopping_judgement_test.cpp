#include <levin/callbacks/early_stopping.h>
#include <levin/callbacks/stopping_judgement.h>

#include <limits>

#include "callbacks/fixture.h"

namespace levin::test::stopping_judgement_test {

/// The judgement of a value of the loss after two checks that didn't improve on 1.0.
StoppingJudgement judged(double value, EarlyStoppingOptions options = {.patience = 3}) {
  options.monitor = "loss";
  const Monitor monitor("EarlyStopping", options.monitor, options.mode);
  return judge_for_stopping(options, monitor, value, 1.0, 2);
}

TEST(StoppingJudgement, an_improvement_exceeds_min_delta) {
  EXPECT_TRUE(judged(0.9).improved);
  EXPECT_EQ(judged(0.9).wait_count, 0);
  EXPECT_FALSE(judged(0.75, {.min_delta = 0.25, .patience = 9}).improved);
  EXPECT_TRUE(judged(0.74, {.min_delta = 0.25, .patience = 9}).improved);
  EXPECT_FALSE(judged(0.9, {.patience = 9, .mode = "max"}).improved);
  EXPECT_TRUE(judged(1.1, {.patience = 9, .mode = "max"}).improved);
}

TEST(StoppingJudgement, patience_counts_checks_without_improvement) {
  EXPECT_EQ(judged(1.0, {.patience = 4}).wait_count, 3);
  EXPECT_EQ(judged(1.0, {.patience = 4}).reason, "");
  EXPECT_EQ(judged(1.0).reason,
            "early stopping: loss did not improve in the last 3 checks (the best value is 1)");
}

TEST(StoppingJudgement, thresholds_count_whether_or_not_the_value_improves) {
  EXPECT_EQ(judged(0.4, {.stopping_threshold = 0.5}).reason,
            "early stopping: loss = 0.4 is better than the stopping_threshold 0.5");
  EXPECT_TRUE(judged(0.4, {.stopping_threshold = 0.5}).improved);
  EXPECT_EQ(judged(6.0, {.divergence_threshold = 5.0}).reason,
            "early stopping: loss = 6 is worse than the divergence_threshold 5");
}

TEST(StoppingJudgement, a_value_that_is_not_finite_is_not_counted) {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(judged(kNan).reason, "early stopping: loss = nan is not finite (the best value was 1)");
  EXPECT_EQ(judged(kNan).wait_count, 2);
  EXPECT_EQ(judged(kNan, {.patience = 9, .check_finite = false}).wait_count, 3);
}

}  // namespace levin::test::stopping_judgement_test
