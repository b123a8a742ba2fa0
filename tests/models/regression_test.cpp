#include "models/support.h"

#include <algorithm>
#include <cmath>

#include "framework/message_of.h"

#include <levin/framework/core/error.h>
#include <levin/framework/data/training_set.h>
#include <levin/models/linear_regression.h>
#include <levin/models/logistic_regression.h>
#include <levin/models/mlp.h>

// Regressions have their optima at scikit-learn's coefficients, with its penalties and its weights
// of rows and classes.

namespace levin::regression_test {

using test::baseline;
using test::batch_of;
using test::labels_of;
using test::message_of;
using test::says;
using test::StepRunner;
using test::tensor_of;

const Value& expected() { return baseline("regression"); }

/// Loaders of one full batch of these tensors.
DataLoaders loaders_of(const NamedTensors& tensors) {
  const int64_t rows = tensors.front().second.size(0);
  return DataLoader(std::make_shared<TensorDataset>(tensors), {.batch_size = rows});
}

/// Lets the model prepare for the batch as training data, in float64, and expects its loss to have
/// its minimum at scikit-learn's solution: the gradient is 0 there, except that of weights that are
/// 0, which an L1 penalty keeps there if their gradient is no larger than its strength. The loss is
/// convex, so there is no other minimum: the solutions differ by the gradient times about 10.
template <class Model>
void expect_minimum_at(Model& model, const Value& solution, const NamedTensors& tensors) {
  model.to(torch::kDouble);
  const auto loaders = loaders_of(tensors);
  model.prepare(TrainingSet(loaders));
  test::set(model, "linear.weight", tensor_of(solution.at("coef")));
  test::set(model, "linear.bias", tensor_of(solution.at("intercept")));
  StepRunner().train(model, Batch(tensors)).backward();
  constexpr double kTolerance = 1e-6;
  const auto parameters = model.named_parameters();
  EXPECT_LE(parameters["linear.bias"].grad().abs().max().template item<double>(), kTolerance);
  const auto& weight = parameters["linear.weight"];
  const auto slack = weight.detach().eq(0.0).to(torch::kDouble) * model.l1_strength();
  EXPECT_LE((weight.grad().abs() - slack).max().template item<double>(), kTolerance)
      << weight.grad() << weight;
}

/// The strengths that the docstring of LinearRegression gives for scikit-learn's estimators.
LinearRegressionOptions options_for(const Value& expect, double rows) {
  LinearRegressionOptions options;
  const auto name = expect.at("estimator").as_string();
  const auto k = static_cast<double>(expect.at("outputs").as_int());
  const double alpha = expect.contains("alpha") ? expect.at("alpha").as_double() : 0.0;
  if (name == "Ridge") options.l2_strength = alpha / (rows * k);
  if (name == "Lasso") options.l1_strength = 2.0 * alpha / k;
  if (name == "ElasticNet") {
    const double l1_ratio = expect.at("l1_ratio").as_double();
    options.l1_strength = 2.0 * alpha * l1_ratio / k;
    options.l2_strength = alpha * (1.0 - l1_ratio) / k;
  }
  return options;
}

TEST(LinearRegression, its_optimum_is_that_of_least_squares_ridge_lasso_and_elastic_net) {
  const auto x = tensor_of(expected().at("x"));
  for (const auto& expect : expected().at("linear").as_array()) {
    SCOPED_TRACE(expect.at("estimator").as_string() + expect.at("outputs").to_json());
    const auto y = tensor_of(expected().at(expect.at("outputs").as_int() == 1 ? "y" : "y2"));
    LinearRegression model(options_for(expect, 24.0));
    expect_minimum_at(model, expect, {{"input", x}, {"target", y}});
  }
}

TEST(LogisticRegression, c_and_l1_ratio_mean_what_they_mean_in_scikit_learn) {
  const auto x = tensor_of(expected().at("x"));
  for (const auto& expect : expected().at("logistic").as_array()) {
    SCOPED_TRACE("C " + expect.at("C").to_json() + " l1_ratio " + expect.at("l1_ratio").to_json() +
                 " classes " + expect.at("classes").to_json());
    const bool is_two = expect.at("classes").as_int() == 2;
    const auto y = labels_of(expected().at(is_two ? "two" : "labels"));
    LogisticRegression model(
        {.C = expect.at("C").as_double(), .l1_ratio = expect.at("l1_ratio").as_double()});
    expect_minimum_at(model, expect, {{"input", x}, {"target", y}});
  }
}

TEST(LogisticRegression, c_is_one_over_twice_the_rows_times_l2_strength) {
  const auto loaders =
      loaders_of({{"input", torch::randn({50, 3})}, {"target", torch::arange(50).remainder(2)}});
  LogisticRegression model({.C = 0.25});
  model.prepare(TrainingSet(loaders));
  EXPECT_DOUBLE_EQ(0.25, 1.0 / (2.0 * 50.0 * model.l2_strength()));
  EXPECT_EQ(model.l1_strength(), 0.0);
  LogisticRegression mixed({.C = 0.25, .l1_ratio = 0.5});
  mixed.prepare(TrainingSet(loaders));
  EXPECT_DOUBLE_EQ(mixed.l1_strength(), 0.5 / (0.25 * 50.0));
  EXPECT_DOUBLE_EQ(mixed.l2_strength(), 0.5 / (2.0 * 0.25 * 50.0));
}

TEST(LogisticRegression, a_c_that_cannot_be_is_refused) {
  using Options = LogisticRegressionOptions;
  const auto refusal = [](Options options) {
    return message_of<ConfigError>([&] { LogisticRegression model(std::move(options)); });
  };
  EXPECT_TRUE(says(refusal({.C = 0.0}), {"C = 0: must be above 0"}));
  EXPECT_TRUE(says(refusal({.C = -1.0}), {"C = -1: must be above 0"}));
  EXPECT_TRUE(says(refusal({.C = NAN}), {"C = nan"}));
  EXPECT_TRUE(says(refusal({.l2_strength = 0.5, .C = 1.0}),
                   {"C = 1 with l1_strength = 0 and l2_strength = 0.5", "or the strengths"}));
  EXPECT_TRUE(says(refusal({.l1_ratio = 0.5}), {"l1_ratio = 0.5 without C"}));
  EXPECT_TRUE(says(refusal({.C = 1.0, .l1_ratio = 1.5}), {"l1_ratio = 1.5: must be from 0 to 1"}));
  LogisticRegression unprepared({.in_features = 3, .num_classes = 2, .C = 1.0});
  EXPECT_TRUE(says(message_of<ModuleError>([&] { unprepared.penalty(); }), {"call prepare"}));
}

TEST(Weights, of_rows_and_classes_give_the_solutions_of_scikit_learn) {
  const auto x = tensor_of(expected().at("x"));
  const auto weight = tensor_of(expected().at("weights"));
  for (const auto& expect : expected().at("weights_logistic").as_array()) {
    SCOPED_TRACE(expect.at("class_weight").to_json() + expect.at("weighted").to_json());
    const bool is_two = expect.at("classes").as_int() == 2;
    const auto y = labels_of(expected().at(is_two ? "two" : "labels"));
    LogisticRegressionOptions options{.C = expect.at("C").as_double()};
    const auto fields = describe(options);
    for (const auto& field : fields) {
      const Value& given = expect.at("class_weight");
      if (field.name == "class_weight" && !given.is_null()) field.set(given);
    }
    LogisticRegression model(options);
    NamedTensors tensors{{"input", x}, {"target", y}};
    if (expect.at("weighted").as_bool()) tensors.emplace_back("weight", weight);
    expect_minimum_at(model, expect, tensors);
  }
  for (const auto& expect : expected().at("weights_linear").as_array()) {
    LinearRegression model(options_for(expect, weight.sum().item<double>()));
    const auto y = tensor_of(expected().at("y"));
    expect_minimum_at(model, expect, {{"input", x}, {"target", y}, {"weight", weight}});
  }
}

/// The loss of the model for the batch, which is all training data, and its gradients.
template <class Model>
std::vector<torch::Tensor> loss_and_gradients(Model& model, const NamedTensors& tensors) {
  const auto loaders = loaders_of(tensors);
  model.prepare(TrainingSet(loaders));
  model.zero_grad();
  const auto loss = StepRunner().train(model, Batch(tensors));
  model.backward(loss);
  std::vector<torch::Tensor> all{loss.detach().clone()};
  for (const auto& parameter : model.parameters()) all.push_back(parameter.grad().clone());
  return all;
}

template <class Model>
void expect_weight_two_to_be_two_rows(Model& model, const torch::Tensor& y) {
  const auto x = tensor_of(expected().at("x")).to(torch::kFloat);
  auto weight = torch::ones({24});
  weight[3] = 2.0;
  const auto weighted =
      loss_and_gradients(model, {{"input", x}, {"target", y}, {"weight", weight}});
  const auto twice = torch::cat({torch::arange(24), torch::tensor({3})});
  const auto repeated = loss_and_gradients(
      model, {{"input", x.index_select(0, twice)}, {"target", y.index_select(0, twice)}});
  ASSERT_EQ(weighted.size(), repeated.size());
  for (size_t i = 0; i < weighted.size(); ++i) {
    EXPECT_TENSORS_NEAR(weighted[i], repeated[i], 1e-6);
  }
}

// The repeated rows go the way of the closed forms, the weighted ones that of autograd.
TEST(Weights, a_row_of_weight_two_counts_as_two_rows) {
  const auto labels = labels_of(expected().at("labels"));
  LogisticRegression softmax({.in_features = 4, .num_classes = 3});
  expect_weight_two_to_be_two_rows(softmax, labels);
  LogisticRegression logistic({.in_features = 4, .num_classes = 2, .C = 0.5});
  expect_weight_two_to_be_two_rows(logistic, labels_of(expected().at("two")));
  MLP net({.in_features = 4, .num_classes = 3});
  expect_weight_two_to_be_two_rows(net, labels);
  LinearRegression linear;
  expect_weight_two_to_be_two_rows(linear, tensor_of(expected().at("y")).to(torch::kFloat));
}

TEST(Weights, batches_of_an_epoch_have_the_weighted_gradient_of_all_rows_on_average) {
  const auto x = tensor_of(expected().at("x"));
  const auto y = labels_of(expected().at("labels"));
  const auto weight = tensor_of(expected().at("weights"));
  LogisticRegression model({.in_features = 4, .num_classes = 3, .class_weight = "balanced"});
  model.to(torch::kDouble);
  const auto all = loss_and_gradients(model, {{"input", x}, {"target", y}, {"weight", weight}});
  torch::Tensor sum;
  for (int64_t first = 0; first < 24; first += 6) {
    model.zero_grad();
    const auto part = [first](const torch::Tensor& t) { return t.narrow(0, first, 6); };
    StepRunner()
        .train(model, Batch({{"input", part(x)}, {"target", part(y)}, {"weight", part(weight)}}))
        .backward();
    const auto grad = model.named_parameters()["linear.weight"].grad();
    sum = sum.defined() ? sum + grad : grad.clone();
  }
  EXPECT_TENSORS_NEAR(sum / 4.0, all[1], 1e-12);
}

TEST(Weights, balanced_classes_have_the_weights_of_scikit_learn_and_absent_ones_weight_one) {
  const auto y = labels_of(expected().at("labels"));
  const auto loaders = loaders_of({{"input", tensor_of(expected().at("x"))}, {"target", y}});
  LogisticRegression model({.num_classes = 4, .class_weight = "balanced"});
  model.prepare(TrainingSet(loaders));
  const auto listed = tensor_of(expected().at("class_weights"));
  EXPECT_TENSORS_NEAR(model.class_weights().narrow(0, 0, 3), listed, 1e-12);
  EXPECT_EQ(model.class_weights()[3].item<double>(), 1.0);
}

TEST(Weights, that_cannot_be_are_refused) {
  const auto x = torch::randn({4, 2});
  const auto y = torch::tensor({0, 1, 0, 1});
  const auto refusal = [&](const torch::Tensor& weight) {
    return message_of<DataError>([&] {
      LogisticRegression model({});
      const auto loaders = loaders_of({{"input", x}, {"target", y}, {"weight", weight}});
      model.prepare(TrainingSet(loaders));
    });
  };
  EXPECT_TRUE(says(refusal(torch::tensor({1.0, 1.0, -2.0, 1.0})), {"-2", "weight, row 2"}));
  EXPECT_TRUE(
      says(refusal(torch::tensor({1.0, std::nan(""), 1.0, 1.0})), {"nan", "weight, row 1"}));
  EXPECT_TRUE(says(refusal(torch::zeros({4})), {"all training rows are 0"}));
  EXPECT_TRUE(says(refusal(torch::ones({4, 2})), {"[4, 2]", "one for each row"}));

  using Options = LogisticRegressionOptions;
  const auto option = [](Options options) {
    return message_of<ConfigError>([&] { LogisticRegression model(std::move(options)); });
  };
  EXPECT_TRUE(says(option({.class_weight = "blanced"}), {"blanced", "balanced"}));
  EXPECT_TRUE(says(option({.class_weight = {1.0, -1.0}}), {"class_weight = -1"}));
  EXPECT_TRUE(says(option({.num_classes = 3, .class_weight = {1.0, 2.0}}),
                   {"a list of 2 numbers", "there are 3 classes"}));
}

/// The metrics of one validation over batches of that size.
MetricMap validated(LinearRegression& model, RunControl& run, const torch::Tensor& x,
                    const torch::Tensor& y, int64_t batch_size) {
  LoggedValues metrics;
  metrics.begin_epoch();
  run.set_active(&metrics);
  torch::NoGradGuard no_grad;
  model.on_validation_epoch_start(run);
  for (int64_t first = 0; first < x.size(0); first += batch_size) {
    const int64_t rows = std::min(batch_size, x.size(0) - first);
    metrics.begin_batch(rows, 0, 1);
    StepControl step(run, metrics, false);
    model.validation_step(batch_of(x.narrow(0, first, rows), y.narrow(0, first, rows)), step);
  }
  model.on_validation_epoch_end(run);
  run.set_active(nullptr);
  return metrics.epoch_values(LoggedValues::For::callbacks);
}

/// A model that predicts the first two features.
LinearRegression first_two_features() {
  LinearRegression model({.in_features = 2, .out_features = 2});
  model.to(torch::kDouble);
  test::set(model, "linear.weight", torch::eye(2, torch::kDouble));
  test::set(model, "linear.bias", torch::zeros({2}, torch::kDouble));
  return model;
}

TEST(LinearRegression, its_metrics_are_those_of_all_rows_however_they_are_cut_into_batches) {
  const Value& expect = expected().at("scores");
  const auto guess = tensor_of(expect.at("guess"));
  const auto y = tensor_of(expected().at("y2"));
  for (const int64_t batch_size : {1, 5, 24}) {
    for (const double shift : {0.0, 1e6}) {  // a large mean doesn't cost digits
      auto model = first_two_features();
      RunControl run;
      const auto metrics = validated(model, run, guess + shift, y + shift, batch_size);
      EXPECT_NEAR(metrics.at("val_r2"), expect.at("r2").as_double(), shift == 0.0 ? 1e-12 : 1e-8);
      EXPECT_NEAR(metrics.at("val_loss"), expect.at("mse").as_double(), 1e-8);
      EXPECT_NEAR(metrics.at("val_mae"), expect.at("mae").as_double(), 1e-8);
    }
  }
}

TEST(LinearRegression, logs_the_metrics_that_it_is_asked_for) {
  LinearRegression model({.in_features = 2,
                          .out_features = 2,
                          .metrics = {"mse", {"r2", Value::Object{{"as", "fit"}}}}});
  const auto x = torch::randn({5, 2});
  const auto metrics = StepRunner().test(model, batch_of(x, torch::zeros({5, 2})));
  EXPECT_EQ(metrics.size(), 3U);
  EXPECT_NEAR(metrics.at("test_mse"), metrics.at("test_loss"), 1e-6);
  EXPECT_EQ(metrics.count("test_fit"), 1U);
  EXPECT_EQ(model.hyper_parameters().at("metrics").to_json(),
            R"(["mse",{"as":"fit","name":"r2"}])");
  EXPECT_TRUE(
      test::says(test::message_of<ConfigError>([] { LinearRegression({.metrics = {"auroc"}}); }),
                 {"metric of values", "auroc", "mae"}));
}

TEST(LinearRegression, predicts_a_value_for_each_row) {
  auto two = first_two_features();
  const auto x = torch::randn({5, 2}, torch::kDouble);
  const auto out = StepRunner().predict(two, batch_of(x, torch::zeros({5, 2})));
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].first, "value");
  EXPECT_TRUE(out[0].second.equal(x));
  LinearRegression one({.in_features = 2, .out_features = 1});
  EXPECT_EQ(StepRunner().predict(one, Batch({{"input", x}}))[0].second.sizes(),
            (std::vector<int64_t>{5}));
}

TEST(LinearRegression, targets_of_another_shape_are_refused) {
  LinearRegression model({.in_features = 2, .out_features = 1});
  const auto x = torch::randn({5, 2});
  const auto step = [&](const torch::Tensor& y) { StepRunner().train(model, batch_of(x, y)); };
  EXPECT_TRUE(says(message_of<DataError>([&] {
                     step(torch::zeros({5, 2}));
                   }),
                   {"[5, 2]", "the model predicts 1 value for a row, so it must be [5]"}));
  EXPECT_TRUE(says(message_of<DataError>([&] { step(torch::zeros({1, 5})); }), {"[1, 5]"}));
  step(torch::zeros({5, 1}));
  step(torch::zeros({5}, torch::kLong));
}

}  // namespace levin::regression_test
