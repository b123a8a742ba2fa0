#include "datamodules/tables/support.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "framework/temporary_folder.h"

// examples/data/churn.csv becomes the same features as by pandas and scikit-learn's
// ColumnTransformer: tests/baselines/tables.py.

namespace levin::tables_baseline_test {

using nlohmann::json;
using tables::MissingRule;
using tables::TableSettings;
using tables::TextTable;
using Names = std::vector<std::string>;

constexpr double kTolerance = 1e-6;

class TablesBaseline : public ::testing::Test {
 protected:
  static const json& baseline(size_t number) {
    static const json all =
        json::parse(levin::test::read_file(LEVIN_SOURCE_DIR "/tests/baselines/tables.json"));
    return all["cases"][number];
  }

  /// Fits on the training rows of the baselines and compares all features with theirs.
  void expect_same(const TableSettings& settings, const json& expected) const {
    std::vector<int64_t> training;
    for (int64_t row = 1; row < table_.rows(); ++row) {
      if (row % 4 != 1) training.push_back(row);
    }
    std::vector<std::string> notes;
    const auto fitted = tables::fit_table(table_, training, settings, notes);
    EXPECT_EQ(notes, Names());
    const auto width = static_cast<size_t>(fitted.width());
    ASSERT_EQ(width, expected["width"].get<size_t>());
    EXPECT_EQ(fitted.feature_names().size(), width);
    const auto features = tables::features_of(fitted, table_, fitted.unknown, 1e300);
    for (const auto& [row, values] : expected["rows"].items()) {
      for (size_t i = 0; i < width; ++i) {
        EXPECT_NEAR(features[std::stoul(row) * width + i], values[i].get<double>(), kTolerance)
            << "row " << row << ", " << fitted.feature_names()[i];
      }
    }
    std::vector<double> sums(width, 0.0);
    for (size_t i = 0; i < features.size(); ++i) sums[i % width] += features[i];
    for (size_t i = 0; i < width; ++i) {
      EXPECT_NEAR(sums[i], expected["sums"][i].get<double>(), kTolerance * 400.0)
          << fitted.feature_names()[i];
    }
    EXPECT_EQ(fitted.class_names, expected["classes"].get<Names>());
    const auto targets = tables::targets_of(fitted, table_);
    EXPECT_EQ(std::accumulate(targets.begin(), targets.end(), 0.0), expected["targets"]);
  }

  const TextTable table_ = TextTable::read(LEVIN_SOURCE_DIR "/examples/data/churn.csv");
};

TEST_F(TablesBaseline, mean_indicator_and_deviation_are_those_of_scikit_learn) {
  auto settings = test::table_settings("churn");
  settings.key = "customer";
  settings.exclude = {"signup", "comment"};
  settings.missing = {MissingRule::Kind::mean, 0.0};
  settings.missing_in = {"payment=most_frequent"};
  settings.missing_indicator = true;
  settings.standardize = true;
  settings.unknown = tables::UnknownRule::ignore;
  expect_same(settings, baseline(0));
}

TEST_F(TablesBaseline, medians_missing_texts_and_rare_ones_are_those_of_scikit_learn) {
  auto settings = test::table_settings("churn");
  settings.features = {"tenure", "monthly_*", "support_call?", "region", "payment"};
  settings.missing = {MissingRule::Kind::median, 0.0};
  settings.missing_in = {"payment=category"};
  settings.standardize = true;
  settings.min_count = 12;
  settings.unknown = tables::UnknownRule::column;
  auto expected = baseline(1);
  // Levin gives every category a feature for unknown texts; scikit-learn does if there are rare
  // ones, which payment doesn't have.
  expected["width"] = expected["width"].get<int>() + 1;
  for (auto& row : expected["rows"]) row.push_back(0.0);
  expected["sums"].push_back(0.0);
  expect_same(settings, expected);
}

TEST_F(TablesBaseline, frequent_numbers_constants_and_hashed_texts_are_those_of_scikit_learn) {
  auto settings = test::table_settings("churn");
  settings.features = {"support_calls", "region", "monthly_fee"};
  settings.missing_in = {"monthly_fee=-1.5", "support_calls=most_frequent"};
  settings.hashed = {"region"};
  settings.hash_columns = 8;
  expect_same(settings, baseline(2));
}

}  // namespace levin::tables_baseline_test
