#include <levin/framework/core/error.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include <gtest/gtest.h>

#include <levin/framework/core/near_files.h>

#include "framework/message_of.h"
#include "framework/temporary_folder.h"

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
               "unknown key 'zzzzzzzz'; the known ones are: max_epochs, min_epochs, devices");
}

TEST(ErrorMessages, data_errors_say_what_the_value_and_what_to_do) {
  EXPECT_TRUE(says(DataError::rows_differ("input", 150, "target", 149).what(),
                   {"'input' has 150", "'target' has 149", "same number"}));
  EXPECT_TRUE(says(DataError::empty("the test set", "lower val_split").what(),
                   {"the test set is empty", "lower val_split"}));
  EXPECT_STREQ(DataError::bad_value("the class", "7", "y, row 3", "it must be from 0 to 2").what(),
               "y, row 3: the class is 7; it must be from 0 to 2");
  EXPECT_STREQ(DataError::no_such_tensor("weight", {"input", "target"}).what(),
               "there is no tensor 'weight'; the tensors are: input, target");
  EXPECT_TRUE(says(DataError::no_such_tensor("weight", {}).what(), {"'weight'", "empty"}));
  EXPECT_STREQ(DataError::no_such_row(7, 5, "check the sampler").what(),
               "row 7 was asked for, but the data set has rows 0 to 4; check the sampler");
  EXPECT_STREQ(DataError::no_such_row(0, 0, "check the sampler").what(),
               "row 0 was asked for, but the data set has no rows; check the sampler");
  EXPECT_STREQ(DataError::wrong_row_count(10, 7).what(),
               "the data set was asked for 10 rows and returned 7; get_batch must return every row "
               "it is asked for. A stream must return nothing from size(), and may return fewer "
               "rows only at its end, never more.");
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

TEST(ErrorMessages, a_mismatch_is_a_sentence_about_what_was_given) {
  EXPECT_STREQ(CheckpointError::mismatch("Adam", {"it has no 'step'"}).what(),
               "Adam doesn't fit:\n  - it has no 'step'");
  EXPECT_STREQ(
      CheckpointError::mismatch("'a.ckpt'", {"it holds weights only"}, "can't be used").what(),
      "'a.ckpt' can't be used:\n  - it holds weights only");
}

TEST(ErrorMessages, checkpoint_and_module_errors_say_what_and_what_to_do) {
  EXPECT_TRUE(says(CheckpointError::io("write", "a.ckpt", "disk full").what(),
                   {"write", "a.ckpt", "disk full"}));
  EXPECT_TRUE(says(CheckpointError::corrupt("a.ckpt", "torn").what(), {"a.ckpt", "torn", "use"}));
  EXPECT_TRUE(says(ModuleError::contract("training_step", "returned nothing", "return it").what(),
                   {"training_step", "returned nothing", "return it"}));
  EXPECT_STREQ(
      ModuleError::metric_not_logged("EarlyStopping", "val_los", {"val_loss", "lr"}).what(),
      "EarlyStopping needs the metric 'val_los', which was not logged; did you mean 'val_loss'? "
      "The logged metrics are: val_loss, lr");
  EXPECT_STREQ(ModuleError::metric_not_logged("EarlyStopping", "x", {"train_loss"}).what(),
               "EarlyStopping needs the metric 'x', which was not logged; the logged metrics are: "
               "train_loss");
  EXPECT_STREQ(ModuleError::metric_not_logged("EarlyStopping", "x", {}).what(),
               "EarlyStopping needs the metric 'x', which was not logged; no metric was logged");
}

TEST(ErrorMessages, a_long_value_is_cut_and_its_length_said) {
  const std::string name(16 << 20, 'x');
  const std::vector<std::string> messages = {
      ConfigError::invalid_value("a", name, "must be short").what(),
      ConfigError::unknown_name("key", name, {"a", "b"}).what(),
      DataError::bad_value("a", name, "b", "c").what()};
  for (const auto& message : messages) {
    EXPECT_LT(message.size(), 500U);
    EXPECT_NE(message.find("xxx... (16777216 bytes)"), std::string::npos) << message;
  }
  EXPECT_EQ(shortened("abc", 3), "abc");
  EXPECT_EQ(shortened("a\xc3\xa4\xc3\xa4", 4), "a\xc3\xa4... (5 bytes)") << "half an umlaut";
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

TEST(NearestName, takes_capital_letters_for_small_ones_unless_they_alone_decide) {
  const std::vector<std::string> known{"ConsoleLogger", "CsvLogger", "JsonLinesLogger"};
  EXPECT_EQ(nearest_name("CSVLoger", known), "CsvLogger");
  EXPECT_EQ(nearest_name("CSVLOGGER", known), "CsvLogger");
  EXPECT_EQ(nearest_name("Ab", {"ABC", "aB", "AB"}), "AB");
  EXPECT_EQ(nearest_name("SGDx", {"sgd", "SGD"}), "SGD");
}

TEST(NearestName, takes_two_letters_in_the_wrong_order_for_one_mistake) {
  EXPECT_EQ(nearest_name("fti", {"f1", "fit", "fbeta"}), "fit");
  EXPECT_EQ(nearest_name("batch_szie", {"batch_time", "batch_size"}), "batch_size");
}

TEST(NearestEnding, is_one_with_one_letter_or_the_order_of_letters_wrong) {
  const std::vector<std::string> known{".npy", ".npz", ".csv", ".libsvm"};
  EXPECT_EQ(nearest_ending("a/bad.npi", known), ".npy");
  EXPECT_EQ(nearest_ending("rows.CVS", known), ".csv");
  EXPECT_EQ(nearest_ending("rows.cs", known), ".csv");
  EXPECT_EQ(nearest_ending("rows.libsvmm", known), ".libsvm");
  EXPECT_EQ(nearest_ending("rows.svg", known), "");
  EXPECT_EQ(nearest_ending("rows", known), "");
}

TEST(NearestName, is_else_the_only_one_that_begins_in_the_same_way) {
  const std::vector<std::string> known{"IrisDataModule", "MNISTDataModule", "CIFAR10DataModule",
                                       "CIFAR100DataModule"};
  EXPECT_EQ(nearest_name("Iris", known), "IrisDataModule");
  EXPECT_EQ(nearest_name("mnist", known), "MNISTDataModule");
  EXPECT_EQ(nearest_name("CIFAR", known), "") << "there are two";
  EXPECT_EQ(nearest_name("Ir", known), "") << "two letters say too little";
}

TEST(NearestName, is_else_the_one_with_these_first_letters) {
  EXPECT_EQ(nearest_name("lr", {"x", "learning_rate", "eps"}), "learning_rate");
  EXPECT_EQ(nearest_name("wd", {"weight_decay", "write_dir"}), "") << "there are two";
}

TEST(NearestName, is_empty_where_none_is_near) {
  EXPECT_EQ(nearest_name("CSVDataModule", {"IrisDataModule"}), "") << "they share the kind alone";
  EXPECT_EQ(nearest_name("abcdefghi", {"learning_rate", "momentum"}), "");
  EXPECT_EQ(nearest_name("anything", {}), "");
  // A third of the length, at least two: "abcdef" may differ in two places, not in three.
  EXPECT_EQ(nearest_name("abcdef", {"abcdxx"}), "abcdxx");
  EXPECT_EQ(nearest_name("abcdef", {"abcxxx"}), "");
}

TEST(ErrorMessages, a_missing_file_is_named_with_the_nearest_one_in_its_folder) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "iris.yaml") << "";
  const auto message = [&](const std::string& name) {
    return std::string(
        DataError::unreadable((folder / name).string(), std::strerror(ENOENT)).what());
  };
  EXPECT_TRUE(says(message("iris.yml"), {"did you mean '" + (folder / "iris.yaml").string()}));
  EXPECT_TRUE(
      says(message("no/iris.yml"), {"no folder '" + (folder / "no").string() + "' either"}));
  EXPECT_FALSE(says(message("digits.npy"), {"did you mean"}));
  EXPECT_FALSE(
      says(DataError::unreadable((folder / "iris.yml").string(), "torn").what(), {"did you mean"}));
}

}  // namespace levin::error_test
