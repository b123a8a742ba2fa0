#include <levin/framework/loops/validation_schedule.h>

#include <gtest/gtest.h>

#include <levin/framework/core/error.h>

#include "framework/message_of.h"

namespace levin::validation_schedule_test {

using test::message_of;
using test::says;
using Places = std::vector<std::pair<int64_t, int64_t>>;

/// (epoch, batches done) wherever validation is due.
Places due(const TrainerOptions& options, int64_t batches, int64_t epochs, bool is_sized = true) {
  const ValidationSchedule schedule(options, is_sized ? std::optional(batches) : std::nullopt);
  Places places;
  int64_t total = 0;
  for (int64_t epoch = 0; epoch < epochs; ++epoch) {
    for (int64_t batch = 1; batch <= batches; ++batch) {
      if (schedule.is_due(epoch, batch, ++total, batch == batches))
        places.emplace_back(epoch, batch);
    }
  }
  return places;
}

// Expected values: Lightning's _TrainingEpochLoop._should_check_val_fx.
TEST(ValidationScheduleEpochs, by_default_after_each) {
  EXPECT_EQ(due({}, 10, 3), (Places{{0, 10}, {1, 10}, {2, 10}}));
  EXPECT_EQ(due({}, 10, 2, /*is_sized=*/false), (Places{{0, 10}, {1, 10}}));
}

TEST(ValidationScheduleEpochs, every_nth) {
  EXPECT_EQ(due({.check_val_every_n_epoch = 3}, 4, 7), (Places{{2, 4}, {5, 4}}));
}

TEST(ValidationScheduleBatches, a_fraction_of_the_epoch) {
  EXPECT_EQ(due({.val_check_interval = 0.5}, 10, 2), (Places{{0, 5}, {0, 10}, {1, 5}, {1, 10}}));
  EXPECT_EQ(due({.val_check_interval = 0.25}, 10, 1),
            (Places{{0, 2}, {0, 4}, {0, 6}, {0, 8}, {0, 10}}));
  EXPECT_EQ(due({.val_check_interval = 0.4}, 10, 1), (Places{{0, 4}, {0, 8}}));
  EXPECT_EQ(due({.val_check_interval = 0.01}, 3, 1), (Places{{0, 1}, {0, 2}, {0, 3}}));
}

TEST(ValidationScheduleBatches, every_so_many_within_the_epoch) {
  EXPECT_EQ(due({.val_check_interval = 4}, 10, 2), (Places{{0, 4}, {0, 8}, {1, 4}, {1, 8}}));
  EXPECT_EQ(due({.val_check_interval = 10}, 10, 1), (Places{{0, 10}}));
  EXPECT_EQ(due({.val_check_interval = 4}, 10, 1, /*is_sized=*/false), (Places{{0, 4}, {0, 8}}));
  EXPECT_EQ(due({.val_check_interval = 4, .check_val_every_n_epoch = 2}, 10, 2),
            (Places{{1, 4}, {1, 8}}));
}

TEST(ValidationScheduleBatches, one_batch_is_not_the_whole) {
  EXPECT_EQ(due({.val_check_interval = 1}, 3, 1), (Places{{0, 1}, {0, 2}, {0, 3}}));
  EXPECT_EQ(due({.val_check_interval = 1.0}, 3, 1), (Places{{0, 3}}));
}

TEST(ValidationScheduleBatches, counted_across_epochs) {
  EXPECT_EQ(due({.val_check_interval = 7, .check_val_every_n_epoch = std::nullopt}, 5, 5),
            (Places{{1, 2}, {2, 4}, {4, 1}}));
  EXPECT_EQ(due({.val_check_interval = 12, .check_val_every_n_epoch = std::nullopt}, 5, 5, false),
            (Places{{2, 2}, {4, 4}}));
}

TEST(ValidationScheduleErrors, an_interval_longer_than_the_epoch) {
  EXPECT_TRUE(says(message_of<ConfigError>([] { due({.val_check_interval = 11}, 10, 1); }),
                   {"val_check_interval = 11", "10 batches", "check_val_every_n_epoch"}));
}

TEST(ValidationScheduleErrors, a_fraction_of_an_unknown_length) {
  EXPECT_TRUE(says(message_of<ConfigError>([] { due({.val_check_interval = 0.5}, 10, 1, false); }),
                   {"val_check_interval = 0.5", "whole number"}));
}

}  // namespace levin::validation_schedule_test
