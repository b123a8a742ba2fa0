#include <levin/models/evaluation_scores.h>

#include "models/support.h"

#include <cmath>

#include "framework/meeting.h"
#include "framework/message_of.h"

#include <levin/datamodules/array.h>
#include <levin/framework/core/error.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/logistic_regression.h>

// Expected values: scikit-learn, tests/baselines/metrics.py.

namespace levin::evaluation_scores_test {

using test::message_of;
using test::says;

struct Rows {
  torch::Tensor logits;
  torch::Tensor targets;
  int64_t classes;
};

Rows rows_of(const Value& expected) {
  const auto logits = test::tensor_of(expected.at("logits"));
  return {logits, test::labels_of(expected.at("targets")), logits.size(1)};
}

/// What is logged for these rows in batches of that size.
MetricMap logged(RunControl& run, const Rows& rows, int64_t batch_size,
                 const std::vector<std::string>& names = {}) {
  LoggedValues metrics;
  metrics.begin_epoch();
  run.set_active(&metrics);
  EvaluationScores scores({"auroc", "recall"});
  scores.add(rows.logits, rows.targets, rows.classes);
  scores.reset();  // as at the start of each evaluation
  for (int64_t first = 0; first < rows.targets.size(0); first += batch_size) {
    const int64_t count = std::min(batch_size, rows.targets.size(0) - first);
    scores.add(rows.logits.narrow(0, first, count), rows.targets.narrow(0, first, count),
               rows.classes);
  }
  scores.log(run, "val", rows.classes, names);
  run.set_active(nullptr);
  return metrics.epoch_values(LoggedValues::For::callbacks);
}

void expect_scores(const MetricMap& found, const Value& expected) {
  EXPECT_NEAR(found.at("val_auroc"), expected.at("roc_auc").as_double(), 1e-12);
  const auto& recalls = expected.at("recalls").as_array();
  for (size_t i = 0; i < recalls.size(); ++i) {
    EXPECT_NEAR(found.at("val_recall_" + std::to_string(i)), recalls[i].as_double(), 1e-12) << i;
  }
  EXPECT_EQ(found.size(), recalls.size() + 1);
}

const Value::Array& cases() { return test::baseline("metrics").at("logit_cases").as_array(); }

TEST(EvaluationScores, are_those_of_scikit_learn_over_batches_of_any_size) {
  for (const auto& expected : cases()) {
    for (const int64_t batch_size : {1, 7, 1000}) {
      RunControl run;
      expect_scores(logged(run, rows_of(expected), batch_size), expected);
    }
  }
}

TEST(EvaluationScores, are_those_of_the_rows_of_all_ranks) {
  for (const auto& expected : cases()) {
    const auto all = rows_of(expected);
    const int64_t half = all.targets.size(0) / 2;
    const std::vector<std::pair<int64_t, int64_t>> shares{
        {0, half + 5}, {half + 5, half - 5}, {2 * half, 0}};
    test::Meeting meeting(3);
    test::in_threads(3, [&](size_t rank) {
      test::ThreadRank own(meeting, rank);
      RunControl run;
      run.set_ranks(own);
      EvaluationScores scores({"recall", "auroc"});
      const auto [first, count] = shares[rank];
      if (count > 0) {
        scores.add(all.logits.narrow(0, first, count), all.targets.narrow(0, first, count),
                   all.classes);
      }
      LoggedValues metrics;
      metrics.begin_epoch();
      run.set_active(&metrics);
      scores.log(run, "val", all.classes, {});
      run.set_active(nullptr);
      expect_scores(metrics.epoch_values(LoggedValues::For::callbacks), expected);
    });
  }
}

TEST(EvaluationScores, of_a_single_logit_are_those_of_two) {
  RunControl run;
  auto rows = rows_of(cases()[0]);
  const auto two = logged(run, rows, 16);
  rows.logits = (rows.logits.select(1, 1) - rows.logits.select(1, 0)).unsqueeze(1);
  EXPECT_EQ(logged(run, rows, 16), two);
}

TEST(EvaluationScores, a_class_without_rows_has_none_and_a_warning_says_so) {
  RunControl run;
  Rows rows{torch::randn({6, 3}), torch::tensor({0, 1, 1, 0, 1, 0}), 3};
  testing::internal::CaptureStderr();
  const auto found = logged(run, rows, 6, {"cat", "dog", "emu"});
  const auto printed = testing::internal::GetCapturedStderr();
  EXPECT_EQ(found.count("val_recall_cat"), 1U);
  EXPECT_EQ(found.count("val_recall_dog"), 1U);
  EXPECT_EQ(found.size(), 2U);
  EXPECT_TRUE(says(printed, {"val_recall_emu isn't logged: there are no rows of class emu",
                             "val_auroc isn't logged: there are no rows of class emu"}));
  rows.classes = 2;
  rows.logits = torch::randn({6, 2});
  rows.targets = torch::ones({6}, torch::kLong);
  testing::internal::CaptureStderr();
  EXPECT_EQ(logged(run, rows, 6).count("val_auroc"), 0U);
  EXPECT_TRUE(says(testing::internal::GetCapturedStderr(), {"all rows are of class 1"}));
}

TEST(EvaluationScores, unknown_names_are_refused) {
  EXPECT_TRUE(says(message_of<ConfigError>([] {
                     LogisticRegression model({.metrics = {"auroc", "f1"}});
                   }),
                   {"f1", "recall"}));
}

// Through a Trainer: in every validation and in a test, with the names of the classes.
TEST(EvaluationScores, are_logged_by_a_classifier_that_is_asked_for_them) {
  torch::manual_seed(3);
  const auto y = torch::arange(90).remainder(3);
  const auto x = torch::randn({90, 3}) + torch::one_hot(y, 3);
  ArrayDataModule data(x, y, {.batch_size = 8, .val_split = 0.3, .test_split = 0.3});
  LogisticRegression model({.metrics = {"auroc", "recall"}});
  Trainer trainer({.accelerator = "cpu", .max_epochs = 2});
  const auto history = trainer.fit(model, data);
  for (const char* name : {"val_auroc", "val_recall_0", "val_recall_1", "val_recall_2"}) {
    ASSERT_EQ(history.epochs.back().metrics.count(name), 1U) << name;
  }
  const auto tested = trainer.test(model, data);
  EXPECT_GT(tested.at("test_auroc"), 0.5);
  EXPECT_EQ(tested.count("test_recall_2"), 1U);
  EXPECT_EQ(tested.count("val_auroc"), 0U);
}

}  // namespace levin::evaluation_scores_test
