#include <levin/framework/logged/history.h>

#include <gtest/gtest.h>

#include <cmath>

#include <levin/framework/core/error.h>

#include "framework/message_of.h"

namespace levin::history_test {

using test::message_of;
using test::says;

History sample() {
  History history;
  history.epochs = {{0, 10, {{"loss", 1.0}}},
                    {1, 20, {{"loss", 0.5}, {"val_loss", 0.7}}},
                    {2, 30, {{"loss", 0.25}}}};
  return history;
}

// Row 27: the history per epoch is returned.
TEST(HistoryValues, one_an_epoch_nan_where_there_is_none) {
  EXPECT_EQ(sample().values("loss"), (std::vector<double>{1.0, 0.5, 0.25}));
  const auto values = sample().values("val_loss");
  ASSERT_EQ(values.size(), 3U);
  EXPECT_TRUE(std::isnan(values[0]));
  EXPECT_EQ(values[1], 0.7);
  EXPECT_TRUE(std::isnan(values[2]));
}

TEST(HistoryValues, last_is_of_the_last_epoch_that_has_it) {
  EXPECT_EQ(sample().last("loss"), 0.25);
  EXPECT_EQ(sample().last("val_loss"), 0.7);
  const auto message = message_of<ModuleError>([] { sample().last("accuracy"); });
  EXPECT_TRUE(says(message, {"'accuracy'", "the logged metrics are: loss, val_loss"}));
  EXPECT_TRUE(
      says(message_of<ModuleError>([] { History().last("loss"); }), {"no metric was logged"}));
}

TEST(HistoryState, comes_back_whole) {
  History history = sample();
  history.epochs[1].metrics["odd"] = std::nan("");
  StateDict saved;
  saved.values = Value::from_json(history.state_dict().values.to_json());
  History other;
  other.epochs = sample().epochs;
  other.load_state_dict(saved);
  ASSERT_EQ(other.epochs.size(), 3U);
  EXPECT_EQ(other.epochs[1].epoch, 1);
  EXPECT_EQ(other.epochs[2].global_step, 30);
  EXPECT_EQ(other.epochs[1].metrics.at("val_loss"), 0.7);
  EXPECT_TRUE(std::isnan(other.epochs[1].metrics.at("odd")));
}

}  // namespace levin::history_test
