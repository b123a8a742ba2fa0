#include <levin/models/evaluation_metrics.h>

#include "models/support.h"

#include "framework/message_of.h"
#include "framework/temporary_folder.h"

#include <levin/datamodules/array.h>
#include <levin/framework/core/error.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/logistic_regression.h>
#include <levin/models/mlp.h>

// Expected values: scikit-learn, tests/baselines/metrics.py.

namespace levin::evaluation_metrics_test {

using test::message_of;
using test::says;

LogisticRegressionOptions options_of(const char* metrics) {
  LogisticRegressionOptions options;
  from_value(describe(options), Value::Object{{"metrics", Value::from_json(metrics)}}, "model");
  return options;
}

/// A model of four classes whose logits are its input.
class Given : public Classifier {
 public:
  explicit Given(const char* metrics)
      : Classifier({.num_classes = 4, .metrics = options_of(metrics).metrics}) {}
  torch::Tensor forward(const torch::Tensor& input) override { return input; }
};

TEST(EvaluationMetrics, of_a_classifier_are_those_of_scikit_learn) {
  const auto& expected = test::baseline("metrics").at("logits").as_array().at(1);
  const Batch batch({{"input", test::tensor_of(expected.at("logits"))},
                     {"target", test::labels_of(expected.at("targets"))},
                     {"weight", test::tensor_of(expected.at("weights"))}});
  Given model(R"(["auroc", {"name": "accuracy", "top_k": 2}, "log_loss",
                  {"name": "brier", "as": "weighted_brier", "weights": true}])");
  test::StepRunner runner;
  const auto metrics = runner.validate(model, batch);
  const auto& plain = expected.at("plain");
  EXPECT_NEAR(metrics.at("val_auroc"), plain.at("auroc").as_double(), 1e-12);
  EXPECT_NEAR(metrics.at("val_accuracy"), plain.at("top_2").as_double(), 1e-12);
  EXPECT_NEAR(metrics.at("val_log_loss"), plain.at("log_loss").as_double(), 1e-12);
  EXPECT_NEAR(metrics.at("val_weighted_brier"), expected.at("weighted").at("brier").as_double(),
              1e-12);
  EXPECT_EQ(metrics.size(), 6U);  // with loss and accuracy
  EXPECT_EQ(runner.test(model, batch).at("test_auroc"), metrics.at("val_auroc"));
}

TEST(EvaluationMetrics, are_written_as_they_were_read) {
  const char* text = R"(["f1",{"beta":2,"name":"fbeta"}])";
  auto options = options_of(text);
  EXPECT_EQ(to_value(describe(options)).at("metrics").to_json(), text);
  EXPECT_EQ(options.metrics[0].name, "f1");
}

TEST(EvaluationMetrics, that_can_not_be_are_refused) {
  const auto message = [](const char* metrics) {
    return message_of<ConfigError>([&] { LogisticRegression model(options_of(metrics)); });
  };
  EXPECT_TRUE(says(message(R"(["auroc", "f2"])"), {"f2", "f1"}));
  EXPECT_TRUE(says(message(R"(["mse"])"), {"metric of classes", "mse", "auroc"}));
  EXPECT_TRUE(says(message(R"([{"name": "fbeta", "bta": 2}])"), {"fbeta", "bta", "beta"}));
  EXPECT_TRUE(says(message(R"([{"name": "fbeta", "beta": -2}])"), {"fbeta", "beta = -2"}));
  EXPECT_TRUE(says(message(R"(["f1", "f1"])"), {"two that are logged as f1", "as:"}));
  EXPECT_TRUE(says(message(R"([{"name": "f1", "as": 3}])"), {"`as` must be a name"}));
  EXPECT_TRUE(says(message(R"([{"nme": "f1"}])"), {"metrics", "list of name or {name: ...}"}));
}

// Through a Trainer: in every validation and in a test, with the numbers of the classes.
TEST(EvaluationMetrics, are_logged_by_a_classifier_that_is_asked_for_them) {
  const test::TemporaryFolder folder;
  torch::manual_seed(3);
  const auto y = torch::arange(90).remainder(3);
  const auto x = torch::randn({90, 3}) + torch::one_hot(y, 3);
  ArrayDataModule data(x, y, {.batch_size = 8, .val_split = 0.3, .test_split = 0.3});
  LogisticRegression model({.metrics = {"auroc", "recall", "f1"}});
  Trainer trainer({.accelerator = "cpu", .max_epochs = 2, .default_root_dir = folder.string()});
  const auto history = trainer.fit(model, data);
  for (const char* name : {"val_auroc", "val_recall_0", "val_recall_1", "val_recall_2", "val_f1"}) {
    ASSERT_EQ(history.values(name).size(), 2U) << name;
  }
  const auto tested = trainer.test(model, data);
  EXPECT_GT(tested.at("test_auroc"), 0.5);
  EXPECT_EQ(tested.count("test_recall_2"), 1U);
  EXPECT_EQ(tested.count("val_auroc"), 0U);
  EXPECT_EQ(trainer.test(model, data), tested);
}

TEST(EvaluationMetrics, of_a_class_without_rows_are_left_out_with_a_warning) {
  const auto x = torch::randn({40, 3});
  const auto y = torch::arange(40).remainder(2);
  ArrayDataModule data(x, y, {.batch_size = 8, .val_split = 0.5});
  LogisticRegression model({.num_classes = 3, .metrics = {"auroc", "recall"}});
  Trainer trainer({.accelerator = "cpu", .max_epochs = 1});
  testing::internal::CaptureStderr();
  const auto history = trainer.fit(model, data);
  EXPECT_TRUE(says(testing::internal::GetCapturedStderr(),
                   {"warning: val_recall_2 isn't logged: there are no rows of class 2",
                    "warning: val_auroc isn't logged: there are no rows of class 2"}));
  EXPECT_EQ(history.values("val_recall_1").size(), 1U);
}

}  // namespace levin::evaluation_metrics_test
