#include "models/support.h"

#include <algorithm>
#include <cmath>

#include "framework/message_of.h"

#include <levin/framework/core/error.h>
#include <levin/framework/metrics/class_scores.h>
#include <levin/framework/metrics/metric_list.h>
#include <levin/framework/metrics/probability_metrics.h>
#include <levin/framework/metrics/ranking.h>

// Expected values: scikit-learn and torchmetrics, tests/baselines/metrics.py.

namespace levin::class_metrics_test {

using test::baseline;
using test::labels_of;
using test::message_of;
using test::says;
using test::tensor_of;

using Made = std::unique_ptr<ClassMetric>;

Made make(const std::string& name, Value settings = Value::Object{}) {
  auto made = shipped_metrics().make(name, settings);
  auto* const metric = dynamic_cast<ClassMetric*>(made.release());
  EXPECT_NE(metric, nullptr) << name;
  return Made(metric);
}

struct Rows {
  torch::Tensor predictions;
  torch::Tensor targets;
  torch::Tensor weights;
  bool are_logits = false;
};

void add(ClassMetric& metric, const Rows& rows) {
  if (rows.are_logits) return metric.update_logits(rows.predictions, rows.targets, rows.weights);
  metric.update(rows.predictions, rows.targets, rows.weights);
}

/// The numbers of the metric, NaN for those that are missing.
std::vector<double> numbers_of(const Metric& metric) {
  std::vector<double> numbers;
  for (const auto& value : metric.compute()) {
    numbers.push_back(value.missing.empty() ? value.value : std::nan(""));
  }
  return numbers;
}

/// The numbers of a value in one list, NaN for null.
std::vector<double> flat(const Value& value) {
  if (value.is_null()) return {std::nan("")};
  if (!value.is_array()) return {value.as_double()};
  std::vector<double> all;
  for (const auto& item : value.as_array()) {
    for (const double number : flat(item)) all.push_back(number);
  }
  return all;
}

/// Whether both are the same to the last bit, or NaN.
bool are_same(const std::vector<double>& a, const std::vector<double>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](double one, double other) {
    return one == other || (std::isnan(one) && std::isnan(other));
  });
}

/// The metric of the rows in batches of that size.
std::vector<double> in_batches(ClassMetric& metric, const Rows& rows, int64_t size) {
  metric.reset();
  for (int64_t first = 0; first < rows.targets.size(0); first += size) {
    const int64_t count = std::min(size, rows.targets.size(0) - first);
    const auto part = [&](const torch::Tensor& all) {
      return all.defined() ? all.narrow(0, first, count) : all;
    };
    add(metric, {part(rows.predictions), part(rows.targets), part(rows.weights), rows.are_logits});
  }
  return numbers_of(metric);
}

void expect_numbers(const std::vector<double>& found, const Value& expected,
                    const std::string& what) {
  if (expected.is_null() && found.empty()) return;  // of no row with a weight
  const auto wanted = flat(expected);
  ASSERT_EQ(found.size(), wanted.size()) << what;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (std::isnan(wanted[i])) {
      EXPECT_TRUE(std::isnan(found[i])) << what << " " << i << ": " << found[i];
    } else {
      EXPECT_NEAR(found[i], wanted[i], 1e-12) << what << " " << i;
    }
  }
}

/// The metric and the settings that a key of the expected values stands for, as f1_macro.
Made made_for(const std::string& key) {
  if (key.starts_with("top_")) {
    return make("accuracy", Value::Object{{"top_k", std::stoi(key.substr(4))}});
  }
  for (const auto& name : shipped_metrics().names()) {
    if (key == name) return make(name);
    if (!key.starts_with(name + "_")) continue;
    const auto setting = key.substr(name.size() + 1);
    if (name == "average" || shipped_metrics().find(key) != nullptr) continue;
    if (name == "calibration_error") {
      return make(name, Value::Object{{"n_bins", 10}, {"norm", setting}});
    }
    if (name == "confusion_matrix") {
      const char* normalize = setting == "true"   ? "target"
                              : setting == "pred" ? "prediction"
                                                  : "all";
      return make(name, Value::Object{{"normalize", normalize}});
    }
    Value settings = Value::Object{{"average", setting}};
    if (name == "fbeta") settings["beta"] = 2.0;
    return make(name, settings);
  }
  ADD_FAILURE() << key;
  return nullptr;
}

void expect_baseline(const Value& expected, Rows rows) {
  for (const char* kind : {"plain", "weighted"}) {
    const bool is_weighted = std::string(kind) == "weighted";
    rows.weights = is_weighted ? tensor_of(expected.at("weights")) : torch::Tensor();
    for (const auto& [key, wanted] : expected.at(kind).as_object()) {
      const auto metric = made_for(key);
      ASSERT_NE(metric, nullptr);
      const auto once = in_batches(*metric, rows, 1000);
      expect_numbers(once, wanted, std::string(kind) + " " + key);
      EXPECT_TRUE(are_same(in_batches(*metric, rows, 7), once)) << key;
      EXPECT_TRUE(are_same(in_batches(*metric, rows, 1), once)) << key;
    }
  }
}

TEST(ClassMetrics, are_those_of_scikit_learn_and_torchmetrics_for_any_batches_and_weights) {
  for (const auto& expected : baseline("metrics").at("classes").as_array()) {
    expect_baseline(
        expected, {tensor_of(expected.at("probabilities")), labels_of(expected.at("targets")), {}});
  }
}

// Classes without rows or whose rows all have weight 0, one row, equal scores, and predictions that
// are certain.
TEST(ClassMetrics, of_edge_cases_are_those_of_scikit_learn) {
  for (const auto& expected : baseline("metrics").at("edges").as_array()) {
    SCOPED_TRACE(expected.at("targets").to_json());
    expect_baseline(
        expected, {tensor_of(expected.at("probabilities")), labels_of(expected.at("targets")), {}});
  }
}

TEST(ClassMetrics, of_logits_are_those_of_their_probabilities) {
  for (const auto& expected : baseline("metrics").at("logits").as_array()) {
    expect_baseline(
        expected, {tensor_of(expected.at("logits")), labels_of(expected.at("targets")), {}, true});
  }
}

std::vector<std::string> class_metric_names() {
  std::vector<std::string> names;
  for (const auto& entry : shipped_metrics().entries()) {
    const auto metric = entry.make(Value());
    if (dynamic_cast<const ClassMetric*>(metric.get()) != nullptr) names.push_back(entry.name);
  }
  return names;
}

Rows random_rows(int64_t rows, int64_t classes) {
  torch::manual_seed(9);
  const auto targets = torch::randint(classes, {rows});
  const auto logits = torch::randn({rows, classes}) + torch::one_hot(targets, classes);
  return {logits, targets, {}, true};
}

TEST(ClassMetrics, of_whole_weights_are_those_of_rows_that_are_repeated) {
  for (const int64_t classes : {2, 4}) {
    auto rows = random_rows(60, classes);
    const auto times = torch::arange(60).remainder(4);
    const Rows repeated{rows.predictions.repeat_interleave(times, 0),
                        rows.targets.repeat_interleave(times, 0),
                        {},
                        true};
    rows.weights = times;
    for (const auto& name : class_metric_names()) {
      const auto metric = make(name);
      const auto weighted = in_batches(*metric, rows, 13);
      const auto expected = in_batches(*metric, repeated, 13);
      ASSERT_EQ(weighted.size(), expected.size()) << name;
      for (size_t i = 0; i < weighted.size(); ++i) {
        EXPECT_NEAR(weighted[i], expected[i], 1e-15)
            << name;  // 3 p may be rounded, but not p + p + p
      }
    }
  }
}

TEST(ClassMetrics, of_a_single_column_are_those_of_two) {
  const auto two = random_rows(50, 2);
  const auto difference = (two.predictions.select(1, 1) - two.predictions.select(1, 0));
  const Rows one{difference, two.targets, {}, true};
  const auto p = two.predictions.to(torch::kDouble).softmax(1);
  for (const auto& name : class_metric_names()) {
    const auto metric = make(name);
    const auto expected = in_batches(*metric, two, 50);
    const auto of_one = in_batches(*metric, one, 50);
    const auto of_p = in_batches(*metric, {p.narrow(1, 1, 1), two.targets, {}}, 50);
    ASSERT_EQ(expected.size(), of_one.size()) << name;
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(of_one[i], expected[i], 1e-6) << name;
      EXPECT_NEAR(of_p[i], expected[i], 1e-9) << name;
    }
  }
}

TEST(ClassMetrics, take_scores_of_16_bits_as_the_numbers_that_they_are) {
  for (const auto type : {torch::kHalf, torch::kBFloat16}) {
    for (const int64_t classes : {2, 3}) {
      auto rows = random_rows(40, classes);
      rows.predictions = rows.predictions.to(type);
      Rows same = rows;
      same.predictions = rows.predictions.to(torch::kDouble);
      for (const auto& name : class_metric_names()) {
        const auto metric = make(name);
        const auto of_type = in_batches(*metric, rows, 40);
        EXPECT_EQ(of_type, in_batches(*metric, same, 40)) << name;
      }
    }
  }
}

TEST(ClassMetrics, keep_nothing_of_the_tensors_of_a_batch) {
  for (const auto& name : class_metric_names()) {
    auto rows = random_rows(40, 3);
    rows.predictions = rows.predictions.to(torch::kDouble).softmax(1);
    rows.weights = torch::ones({40}, torch::kDouble);
    rows.are_logits = false;
    const auto metric = make(name);
    add(*metric, rows);
    const auto before = numbers_of(*metric);
    rows.predictions.fill_(0.5);
    rows.targets.fill_(0);
    rows.weights.fill_(7.0);
    EXPECT_EQ(numbers_of(*metric), before) << name;
  }
}

TEST(ClassMetrics, say_what_a_class_without_rows_is_missing) {
  const auto logits = torch::tensor({{2.0, 1.0, 0.0}, {1.0, 2.0, 0.0}, {2.0, 1.0, 0.0}});
  const auto targets = torch::tensor({0, 1, 1});
  for (const char* name : {"recall", "precision"}) {
    const auto metric = make(name);
    metric->set_class_names({"cat", "dog", "emu"});
    metric->update_logits(logits, targets);
    const auto values = metric->compute();
    ASSERT_EQ(values.size(), 3U);
    EXPECT_EQ(values[1].suffix, "_dog");
    EXPECT_EQ(values[1].missing, "");
    EXPECT_EQ(values[2].missing, "there are no rows of class emu") << name;
  }
  for (const char* name : {"auroc", "average_precision"}) {
    const auto metric = make(name);
    metric->update_logits(logits, targets);
    EXPECT_EQ(metric->compute().at(0).missing, "there are no rows of class 2");
    EXPECT_TRUE(std::isnan(metric->value()));
  }
  const auto f1 = make("f1");  // a class that occurs nowhere isn't part of the mean
  f1->update_logits(logits, targets);
  EXPECT_DOUBLE_EQ(f1->value(), (2.0 / 3.0 + 2.0 / 3.0) / 2.0);
  Auroc one_sided;
  one_sided.update(torch::tensor({0.1, 0.9}), torch::tensor({1, 1}));
  EXPECT_EQ(one_sided.compute().at(0).missing, "all rows are of class 1");
  Auroc with_nan;
  with_nan.update(torch::tensor({std::nan(""), 0.9}), torch::tensor({0, 1}));
  EXPECT_EQ(with_nan.compute().at(0).missing, "a score of class 1 is NaN");
}

TEST(ClassMetrics, say_that_all_rows_of_a_class_have_weight_0) {
  const auto logits = torch::tensor({{2.0, 1.0, 0.0}, {1.0, 2.0, 0.0}, {0.0, 1.0, 2.0}});
  const auto targets = torch::tensor({0, 1, 1});
  const auto weights = torch::tensor({0.0, 1.0, 2.0});
  for (const char* name : {"recall", "accuracy", "auroc"}) {
    const auto metric = make(name, Value::Object{{"average", "none"}});
    metric->update_logits(logits, targets, weights);
    const auto values = metric->compute();
    ASSERT_EQ(values.size(), 3U) << name;
    EXPECT_EQ(values[0].missing, "all rows of class 0 have weight 0") << name;
    EXPECT_EQ(values[1].missing,
              std::string(name) == "auroc" ? "all rows of other classes than 1 have weight 0" : "");
    EXPECT_EQ(values[2].missing, "there are no rows of class 2") << name;
  }
}

TEST(ClassMetrics, are_nothing_without_rows) {
  for (const auto& name : class_metric_names()) {
    const auto metric = make(name);
    EXPECT_TRUE(metric->compute().empty()) << name;
    metric->update(torch::ones({0, 2}), torch::ones({0}, torch::kLong));
    metric->update(torch::ones({1, 2}), torch::ones({1}, torch::kLong), torch::zeros({1}));
    EXPECT_TRUE(metric->compute().empty()) << name;
    EXPECT_TRUE(std::isnan(metric->value())) << name;
  }
}

TEST(ClassMetrics, of_extreme_predictions_are_finite_and_exact) {
  LogLoss loss;
  loss.update(torch::tensor({{1.0, 0.0}}, torch::kDouble), torch::tensor({1}));
  EXPECT_NEAR(loss.value(), -std::log(std::numeric_limits<double>::epsilon()), 1e-12);
  loss.reset();
  loss.update_logits(torch::tensor({1000.0}), torch::tensor({0}));
  EXPECT_EQ(loss.value(), 1000.0);
  Auroc auroc;  // probabilities of all these rows are 1
  auroc.update_logits(torch::tensor({{0.0, 100.0}, {0.0, 90.0}}), torch::tensor({1, 0}));
  EXPECT_EQ(auroc.value(), 1.0);
  Accuracy ties({.top_k = 2});  // of equal ones the lower come first
  ties.update(torch::full({3, 3}, 1.0 / 3.0), torch::tensor({0, 1, 2}));
  EXPECT_DOUBLE_EQ(ties.value(), 2.0 / 3.0);
}

TEST(ClassMetrics, refuse_what_does_not_fit) {
  Accuracy accuracy;
  EXPECT_TRUE(says(message_of<DataError>([&] {
                     accuracy.update(torch::ones({2, 2}), torch::zeros({3}, torch::kLong));
                   }),
                   {"accuracy", "[2, 2]", "[3]"}));
  EXPECT_TRUE(says(message_of<DataError>([&] {
                     accuracy.update(torch::ones({1, 2}), torch::tensor({2}));
                   }),
                   {"class is 2", "from 0 to 1"}));
  EXPECT_TRUE(says(message_of<DataError>([&] {
                     accuracy.update(torch::ones({1, 2}), torch::tensor({0}), torch::ones({2}));
                   }),
                   {"weights", "[2]", "[1]"}));
  accuracy.update(torch::ones({1, 2}), torch::tensor({0}));
  EXPECT_TRUE(says(message_of<DataError>([&] {
                     accuracy.update(torch::ones({1, 3}), torch::tensor({0}));
                   }),
                   {"accuracy", "[2, 3]", "[2, 2]", "reset()"}));
  EXPECT_TRUE(says(message_of<ConfigError>([] {
                     make("f1", Value::Object{{"average", "mean"}});
                   }),
                   {"f1", "mean", "macro"}));
  EXPECT_TRUE(says(message_of<ConfigError>([] { Accuracy({.top_k = 0}); }), {"top_k = 0"}));
  F1Score binary({.average = "binary"});
  binary.update(torch::ones({1, 3}), torch::tensor({0}));
  EXPECT_TRUE(says(message_of<ConfigError>([&] { binary.compute(); }), {"3 classes", "macro"}));
  PrecisionScore precision;
  precision.update(torch::ones({1, 3}), torch::tensor({0}));
  EXPECT_TRUE(
      says(message_of<ModuleError>([&] { precision.value(); }), {"3 numbers", "compute()"}));
}

}  // namespace levin::class_metrics_test
