#include <levin/models/classification_metrics.h>

#include <torch/torch.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include <levin/framework/core/error.h>

#include "framework/message_of.h"
#include "framework/temporary_folder.h"

// Expected values: scikit-learn, tests/baselines/metrics.py.

namespace levin::classification_metrics_test {

using nlohmann::json;
using test::message_of;
using test::says;

const json& cases() {
  static const json all =
      json::parse(test::read_file(LEVIN_SOURCE_DIR "/tests/baselines/metrics.json"));
  return all["cases"];
}

torch::Tensor probabilities_of(const json& expected) {
  std::vector<torch::Tensor> rows;
  for (const auto& row : expected["probabilities"]) {
    rows.push_back(torch::tensor(row.get<std::vector<double>>(), torch::kDouble));
  }
  return torch::stack(rows);
}

TEST(ClassificationMetrics, are_those_of_scikit_learn_over_batches_of_any_size) {
  for (const auto& expected : cases()) {
    const auto probabilities = probabilities_of(expected);
    const auto targets = torch::tensor(expected["targets"].get<std::vector<int64_t>>());
    for (const int64_t batch : {1, 7, 1000}) {
      ClassificationScores scores;
      const auto parts = targets.split(batch);
      const auto rows = probabilities.split(batch);
      for (size_t i = 0; i < parts.size(); ++i) scores.add(rows[i], parts[i]);
      EXPECT_EQ(scores.rows(), targets.numel());
      EXPECT_NEAR(scores.log_loss(), expected["log_loss"].get<double>(), 1e-12);
      EXPECT_NEAR(scores.accuracy(), expected["accuracy"].get<double>(), 1e-12);
      EXPECT_NEAR(scores.roc_auc(), expected["roc_auc"].get<double>(), 1e-12);
      const auto recalls = scores.recall_of_classes();
      ASSERT_EQ(recalls.size(), expected["recalls"].size());
      for (size_t i = 0; i < recalls.size(); ++i) {
        EXPECT_NEAR(recalls[i], expected["recalls"][i].get<double>(), 1e-12) << "class " << i;
      }
    }
  }
}

TEST(ClassificationMetrics, take_rows_that_change_afterwards) {
  auto probabilities = torch::tensor({{0.9, 0.1}, {0.2, 0.8}});
  auto targets = torch::tensor({0, 1});
  ClassificationScores scores;
  scores.add(probabilities, targets);
  probabilities.fill_(0.5);
  targets.fill_(0);
  EXPECT_EQ(scores.accuracy(), 1.0);
  EXPECT_EQ(scores.roc_auc(), 1.0);
}

TEST(ClassificationMetrics, are_nan_if_there_is_nothing_to_compare) {
  EXPECT_TRUE(std::isnan(roc_auc(torch::tensor({0.1, 0.2}), torch::tensor({true, true}))));
  const auto recalls = recall_of_classes(torch::tensor({0, 1}), torch::tensor({0, 0}), 2);
  EXPECT_EQ(recalls[0], 0.5);
  EXPECT_TRUE(std::isnan(recalls[1]));
}

TEST(ClassificationMetrics, a_probability_of_zero_gives_a_finite_log_loss) {
  EXPECT_NEAR(log_loss(torch::tensor({{1.0, 0.0}}, torch::kDouble), torch::tensor({1})),
              -std::log(std::numeric_limits<double>::epsilon()), 1e-12);
}

TEST(ClassificationMetrics, no_rows_and_other_numbers_of_rows_are_refused) {
  ClassificationScores scores;
  EXPECT_TRUE(says(message_of<DataError>([&] { scores.log_loss(); }), {"add the predictions"}));
  EXPECT_TRUE(says(message_of<DataError>([&] {
                     scores.add(torch::ones({2, 2}), torch::zeros({3}, torch::kLong));
                   }),
                   {"probabilities", "targets"}));
}

}  // namespace levin::classification_metrics_test
