#include <levin/framework/core/error.h>

#include <gtest/gtest.h>

#include "framework/message_of.h"

namespace levin::error_test {

using test::says;

template <class E>
constexpr bool is_in_the_set() {
  return std::is_base_of_v<Error, E> && !std::is_same_v<Error, E>;
}

TEST(ErrorSet, all_derive_from_error_and_from_nothing_between) {
  static_assert(std::is_base_of_v<std::runtime_error, Error>);
  static_assert(is_in_the_set<ConfigError>() && is_in_the_set<DataError>() &&
                is_in_the_set<CheckpointError>() && is_in_the_set<DistributedError>() &&
                is_in_the_set<ModuleError>());
  static_assert(!std::is_base_of_v<ConfigError, CheckpointError>);
  static_assert(!std::is_base_of_v<CheckpointError, ConfigError>);
  EXPECT_THROW(throw DistributedError("rank 1 failed"), Error);
}

TEST(ErrorMessages, config_errors_say_what_the_value_and_what_to_do) {
  EXPECT_STREQ(ConfigError::invalid_value("batch_size", "-3", "must be at least 1").what(),
               "batch_size = -3: must be at least 1");
  EXPECT_TRUE(says(ConfigError::conflict("a with b", "leave one out").what(),
                   {"a with b", "leave one out"}));
  EXPECT_TRUE(says(ConfigError::no_such_device("cuda:3", "cpu").what(), {"cuda:3", "cpu"}));
}

TEST(ErrorMessages, an_unknown_name_gets_the_nearest_or_all_known) {
  const std::vector<std::string> known{"max_epochs", "min_epochs", "devices"};
  EXPECT_STREQ(ConfigError::unknown_name("key", "max_epoch", known, "Trainer").what(),
               "Trainer: unknown key 'max_epoch'; did you mean 'max_epochs'?");
  EXPECT_STREQ(ConfigError::unknown_name("key", "zzzzzzzz", known).what(),
               "unknown key 'zzzzzzzz'; known are: max_epochs, min_epochs, devices");
}

TEST(ErrorMessages, data_errors_say_what_the_value_and_what_to_do) {
  EXPECT_TRUE(says(DataError::rows_differ("input", 150, "target", 149).what(),
                   {"'input' has 150", "'target' has 149", "same number"}));
  EXPECT_TRUE(says(DataError::empty("the test set", "lower val_split").what(),
                   {"the test set is empty", "lower val_split"}));
  EXPECT_STREQ(DataError::bad_value("the class", "7", "y, row 3", "it must be from 0 to 2").what(),
               "y, row 3: the class is 7; it must be from 0 to 2");
  EXPECT_TRUE(says(DataError::no_such_tensor("weight", {"input", "target"}).what(),
                   {"'weight'", "input, target"}));
  EXPECT_TRUE(says(DataError::no_such_tensor("weight", {}).what(), {"'weight'", "empty"}));
  EXPECT_STREQ(DataError::no_such_row(7, 5, "check the sampler").what(),
               "row 7 was asked for, but the data set has rows 0 to 4; check the sampler");
  EXPECT_STREQ(DataError::no_such_row(0, 0, "check the sampler").what(),
               "row 0 was asked for, but the data set has no rows; check the sampler");
  EXPECT_TRUE(says(DataError::wrong_row_count(10, 7).what(), {"7 rows", "10"}));
  EXPECT_TRUE(says(DataError::unreadable("x.csv", "no such file").what(), {"x.csv", "no such"}));
  EXPECT_TRUE(says(DataError::corrupt("x.npy", "wrong magic").what(), {"x.npy", "wrong magic"}));
}

TEST(ErrorMessages, a_mismatch_lists_ten_problems_and_counts_the_rest) {
  std::vector<std::string> problems;
  for (int i = 0; i < 10; ++i) problems.push_back("problem " + std::to_string(i) + ".");
  const std::string ten = CheckpointError::mismatch("the state", problems).what();
  for (const auto& problem : problems) EXPECT_TRUE(says(ten, {problem}));
  EXPECT_FALSE(says(ten, {"more"}));
  problems.insert(problems.end(), {"problem 10.", "problem 11."});
  const std::string twelve = CheckpointError::mismatch("the state", problems).what();
  EXPECT_TRUE(says(twelve, {"the state doesn't fit", "problem 9.", "and 2 more"}));
  EXPECT_FALSE(says(twelve, {"problem 10."}));
}

TEST(ErrorMessages, checkpoint_and_module_errors_say_what_and_what_to_do) {
  EXPECT_TRUE(says(CheckpointError::io("write", "a.ckpt", "disk full").what(),
                   {"write", "a.ckpt", "disk full"}));
  EXPECT_TRUE(says(CheckpointError::corrupt("a.ckpt", "torn").what(), {"a.ckpt", "torn", "use"}));
  EXPECT_TRUE(says(ModuleError::contract("training_step", "returned nothing", "return it").what(),
                   {"training_step", "returned nothing", "return it"}));
  EXPECT_TRUE(says(ModuleError::metric_not_logged("EarlyStopping", "val_los", {"val_loss"}).what(),
                   {"EarlyStopping", "'val_los'", "did you mean 'val_loss'?"}));
  EXPECT_TRUE(says(ModuleError::metric_not_logged("EarlyStopping", "x", {"train_loss"}).what(),
                   {"logged were: train_loss"}));
  EXPECT_TRUE(says(ModuleError::metric_not_logged("EarlyStopping", "x", {}).what(),
                   {"nothing was logged"}));
}

TEST(ErrorMessages, braces_in_values_are_kept) {
  EXPECT_TRUE(says(ConfigError::invalid_value("x", "{0} {}", "no {braces}").what(),
                   {"{0} {}", "no {braces}"}));
}

TEST(NearestName, is_the_one_with_the_fewest_edits) {
  const std::vector<std::string> known{"learning_rate", "momentum", "nesterov"};
  EXPECT_EQ(nearest_name("lerning_rat", known), "learning_rate");  // two deletions
  EXPECT_EQ(nearest_name("learning-rate", known), "learning_rate");
  EXPECT_EQ(nearest_name("momentun", known), "momentum");
  EXPECT_EQ(nearest_name("nesterov", known), "nesterov");
  EXPECT_EQ(nearest_name("Nesterof", known), "nesterov");
}

TEST(NearestName, is_empty_where_none_is_near) {
  EXPECT_EQ(nearest_name("abcdefghi", {"learning_rate", "momentum"}), "");
  EXPECT_EQ(nearest_name("anything", {}), "");
  // A third of the length, at least two: "abcdef" may differ in two places, not in three.
  EXPECT_EQ(nearest_name("abcdef", {"abcdxx"}), "abcdxx");
  EXPECT_EQ(nearest_name("abcdef", {"abcxxx"}), "");
}

}  // namespace levin::error_test
