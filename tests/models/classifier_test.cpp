#include <levin/models/classifier.h>

#include "models/support.h"

#include <levin/framework/core/error.h>
#include <levin/models/logistic_regression.h>
#include <levin/models/mlp.h>

namespace levin::classifier_test {

using test::batch_of;
using test::StepRunner;

// row 28
TEST(Accuracy, is_the_share_of_rows_whose_largest_logit_is_the_target) {
  const auto logits = torch::tensor({{0.1, 0.9}, {0.8, 0.2}, {0.3, 0.4}, {0.6, 0.5}});
  const auto targets = torch::tensor({1, 0, 0, 0});
  EXPECT_EQ(accuracy(logits, targets).item<double>(), 0.75);
  EXPECT_EQ(accuracy(logits, targets.to(torch::kUInt8)).item<double>(), 0.75);
  EXPECT_TRUE(predicted_classes(logits).equal(torch::tensor({1, 0, 1, 0})));
}

TEST(Accuracy, of_one_logit_is_about_its_sign) {
  const auto logits = torch::tensor({{-1.0}, {2.0}, {3.0}, {-4.0}});
  EXPECT_EQ(accuracy(logits, torch::tensor({0, 1, 0, 0})).item<double>(), 0.75);
  EXPECT_EQ(accuracy(logits.squeeze(1), torch::tensor({0, 1, 0, 0})).item<double>(), 0.75);
}

/// A linear model with another loss: that of squared errors of the one-hot targets.
class SquaredErrors : public Classifier {
 public:
  SquaredErrors() : Classifier({.num_classes = 3, .optimizer = "SGD"}) {
    register_module("linear", linear_);
  }
  torch::Tensor forward(const torch::Tensor& input) override {
    ++forwards_;
    return linear_(input);
  }
  torch::Tensor loss(const torch::Tensor& logits, const torch::Tensor& targets) const override {
    return (logits - torch::one_hot(targets, 3)).square().mean();
  }
  int forwards() const { return forwards_; }

 private:
  torch::nn::Linear linear_{4, 3};
  int forwards_ = 0;
};

// row 33: losses and models mix and subclass
TEST(Classifier, a_subclass_brings_its_forward_and_its_loss) {
  SquaredErrors model;
  const auto batch = batch_of(torch::randn({5, 4}), torch::tensor({0, 1, 2, 1, 0}));
  const auto logits = model.forward(batch.input());
  const double expected = model.loss(logits, batch.target()).item<double>();
  StepRunner runner;
  EXPECT_EQ(runner.train(model, batch).item<double>(), expected);
  EXPECT_EQ(runner.step_values().at("train_loss"),
            static_cast<double>(static_cast<float>(expected)));
  const auto metrics = runner.validate(model, batch);
  EXPECT_FLOAT_EQ(static_cast<float>(metrics.at("val_loss")), static_cast<float>(expected));
  EXPECT_EQ(metrics.at("val_acc"), accuracy(logits, batch.target()).item<double>());
  EXPECT_EQ(model.forwards(), 3);
}

TEST(Classifier, train_loss_is_shown_in_the_progress_bar) {
  LogisticRegression model({.in_features = 4, .num_classes = 3});
  StepRunner runner;
  runner.train(model, batch_of(torch::randn({5, 4}), torch::tensor({0, 1, 2, 1, 0})));
  EXPECT_EQ(runner.step_values(LoggedValues::For::progress_bar).count("train_loss"), 1U);
}

TEST(Classifier, each_loss_is_logged_once_under_its_own_name) {
  LogisticRegression model({.in_features = 4, .num_classes = 3});
  const auto batch = batch_of(torch::randn({5, 4}), torch::tensor({0, 1, 2, 1, 0}));
  const auto names = [](const MetricMap& metrics) {
    std::vector<std::string> result;
    for (const auto& [name, value] : metrics) result.push_back(name);
    return result;
  };
  using Names = std::vector<std::string>;
  StepRunner runner;
  runner.train(model, batch);
  EXPECT_EQ(names(runner.step_values()), (Names{"train_loss"}));
  EXPECT_EQ(names(runner.validate(model, batch)), (Names{"val_acc", "val_loss"}));
  EXPECT_EQ(names(runner.test(model, batch)), (Names{"test_acc", "test_loss"}));
}

TEST(Classifier, prediction_needs_no_targets) {
  MLP model({.in_features = 4, .num_classes = 3});
  Batch batch({{"input", torch::randn({5, 4})}});
  model.on_before_batch_transfer(batch);
  const auto out = StepRunner().predict(model, batch);
  EXPECT_EQ(out[0].second.sizes(), (std::vector<int64_t>{5}));
  EXPECT_EQ(out[1].second.sizes(), (std::vector<int64_t>{5, 3}));
}

TEST(Classifier, a_negative_learning_rate_is_refused) {
  MLP model({.in_features = 4, .num_classes = 3});
  EXPECT_THROW(model.set_learning_rate(-0.1), ConfigError);
  EXPECT_THROW(model.set_learning_rate(NAN), ConfigError);
  EXPECT_EQ(model.learning_rate(), 1e-3);
}

}  // namespace levin::classifier_test
