#include <levin/models/logistic_regression.h>

#include "models/support.h"

#include <levin/framework/core/error.h>
#include <levin/framework/tensor/random.h>

namespace levin::logistic_regression_test {

using test::baseline;
using test::batch_of;
using test::labels_of;
using test::set;
using test::StepRunner;
using test::tensor_of;

constexpr double kExact = 1e-12;

const Value& expected() { return baseline("logistic_regression"); }

/// The model of a baseline problem ("softmax" or "binary") in float64, its batch, what is expected.
struct Problem {
  explicit Problem(const std::string& kind, LogisticRegressionOptions options = {})
      : expect(expected().at(kind)),
        model(complete(kind, std::move(options))),
        batch(batch_of(tensor_of(expected().at("x")), labels_of(expect.at("y")))) {
    model.to(torch::kDouble);
    set(model, "linear.weight", tensor_of(expect.at("weight")));
    set(model, "linear.bias", tensor_of(expect.at("bias")));
  }
  static LogisticRegressionOptions complete(const std::string& kind,
                                            LogisticRegressionOptions options) {
    options.in_features = 4;
    options.num_classes = kind == "binary" ? 2 : 3;
    return options;
  }
  torch::Tensor weight() { return model.named_parameters()["linear.weight"]; }
  torch::Tensor bias() { return model.named_parameters()["linear.bias"]; }

  Value expect;
  LogisticRegression model;
  Batch batch;
};

// row 1
TEST(LogisticRegression, two_classes_have_one_logit_its_sigmoid_and_the_logistic_loss) {
  Problem problem("binary");
  EXPECT_EQ(problem.weight().sizes(), (std::vector<int64_t>{1, 4}));
  const auto logits = problem.model.forward(problem.batch.input());
  EXPECT_TENSORS_NEAR(logits, tensor_of(problem.expect.at("logits")), kExact);
  const auto out = StepRunner().predict(problem.model, problem.batch);
  ASSERT_EQ(out.size(), 2U);
  EXPECT_EQ(out[0].first, "class");
  EXPECT_TRUE(out[0].second.equal(labels_of(problem.expect.at("classes"))));
  EXPECT_EQ(out[1].first, "probability");
  const auto probability = tensor_of(problem.expect.at("probabilities"));
  EXPECT_TENSORS_NEAR(out[1].second.select(1, 1), probability, kExact);
  EXPECT_TENSORS_NEAR(out[1].second.sum(1), torch::ones({6}), kExact);
}

// row 2
TEST(LogisticRegression, softmax_rows_sum_to_one_and_the_weight_is_classes_by_features) {
  Problem problem("softmax");
  EXPECT_EQ(problem.weight().sizes(), (std::vector<int64_t>{3, 4}));
  const auto out = StepRunner().predict(problem.model, problem.batch);
  EXPECT_TENSORS_NEAR(problem.model.forward(problem.batch.input()),
                      tensor_of(problem.expect.at("logits")), kExact);
  EXPECT_TENSORS_NEAR(out[1].second, tensor_of(problem.expect.at("probabilities")), kExact);
  EXPECT_TENSORS_NEAR(out[1].second.sum(1), torch::ones({6}), kExact);
  EXPECT_TRUE(out[0].second.equal(labels_of(problem.expect.at("classes"))));
  EXPECT_EQ(out[0].second.scalar_type(), torch::kLong);
}

// row 3
TEST(LogisticRegression, softmax_of_two_classes_equals_the_sigmoid_model) {
  Problem one("binary");
  const Value& expect = expected().at("two_class_softmax");
  LogisticRegression two({.in_features = 4, .num_classes = 2, .loss = "softmax"});
  two.to(torch::kDouble);
  set(two, "linear.weight", tensor_of(expect.at("weight")));  // [2, 4], that of class 0 is 0
  set(two, "linear.bias", tensor_of(expect.at("bias")));
  const auto loss = StepRunner().train(two, one.batch);
  const auto sigmoid_loss = StepRunner().train(one.model, one.batch);
  EXPECT_NEAR(loss.item<double>(), expect.at("loss").as_double(), kExact);
  EXPECT_NEAR(loss.item<double>(), sigmoid_loss.item<double>(), kExact);
  loss.backward();
  sigmoid_loss.backward();
  const auto grad = two.named_parameters()["linear.weight"].grad();
  EXPECT_TENSORS_NEAR(grad.narrow(0, 1, 1), one.weight().grad(), kExact);
  EXPECT_TENSORS_NEAR(grad.narrow(0, 0, 1), -one.weight().grad(), kExact);
  const auto p = StepRunner().predict(two, one.batch)[1].second;
  EXPECT_TENSORS_NEAR(p, StepRunner().predict(one.model, one.batch)[1].second, kExact);
  EXPECT_TENSORS_NEAR(p, tensor_of(expect.at("probabilities")), kExact);
}

// row 4
TEST(LogisticRegression, bias_is_an_option_and_784_to_10_has_7850_parameters) {
  LogisticRegression with({.in_features = 784, .num_classes = 10});
  EXPECT_EQ(with.num_parameters(), 7850);
  LogisticRegression without({.in_features = 784, .num_classes = 10, .bias = false});
  EXPECT_EQ(without.num_parameters(), 7840);
  EXPECT_EQ(without.parameters().size(), 1U);
}

// row 5
TEST(LogisticRegression, equals_the_formula_on_plain_arrays) {
  const Value& forward = expected().at("forward");
  const double x[2][4] = {{1, 2, 3, 4}, {-1, 0.5, 2, -3}};
  const auto weight = tensor_of(forward.at("weight"));  // [4, 3], as a textbook writes it
  const auto bias = tensor_of(forward.at("bias"));
  double z[2][3];
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 3; ++j) {
      z[i][j] = bias[j].item<double>();
      for (int k = 0; k < 4; ++k) z[i][j] += x[i][k] * weight[k][j].item<double>();
    }
  }
  LogisticRegression model({.in_features = 4, .num_classes = 3});
  model.to(torch::kDouble);
  set(model, "linear.weight", weight.t());
  set(model, "linear.bias", bias);
  const auto batch = batch_of(tensor_of(forward.at("x")), torch::zeros({2}, torch::kLong));
  EXPECT_TENSORS_NEAR(model.forward(batch.input()), torch::from_blob(z, {2, 3}, torch::kDouble),
                      kExact);
  EXPECT_TENSORS_NEAR(model.forward(batch.input()), tensor_of(forward.at("logits")), kExact);
  const auto out = StepRunner().predict(model, batch);
  EXPECT_TRUE(out[0].second.equal(labels_of(forward.at("classes"))));
  EXPECT_TENSORS_NEAR(out[1].second, tensor_of(forward.at("probabilities")), kExact);
}

// rows 6 and 7: each penalty alone and together; autograd gives the analytic gradient
TEST(LogisticRegression, losses_gradients_and_steps_are_the_formulas_with_every_mix_of_penalties) {
  for (const char* kind : {"softmax", "binary"}) {
    for (const Value& expect : expected().at(kind).at("cases").as_array()) {
      const double l1 = expect.at("l1_strength").as_double();
      const double l2 = expect.at("l2_strength").as_double();
      SCOPED_TRACE(std::string(kind) + " l1 " + std::to_string(l1) + " l2 " + std::to_string(l2));
      Problem problem(
          kind, {.learning_rate = 0.1, .optimizer = "SGD", .l1_strength = l1, .l2_strength = l2});
      StepRunner runner;
      const auto loss = runner.train(problem.model, problem.batch);
      EXPECT_NEAR(loss.item<double>(), expect.at("loss").as_double(), kExact);
      EXPECT_NEAR(runner.step_values().at("train_loss"), expect.at("data_loss").as_double(),
                  kExact);
      loss.backward();
      EXPECT_TENSORS_NEAR(problem.weight().grad(), tensor_of(expect.at("weight_grad")), kExact);
      EXPECT_TENSORS_NEAR(problem.bias().grad(), tensor_of(expect.at("bias_grad")), kExact);
      auto optimizers = problem.model.configure_optimizers();
      optimizers.entries().front().optimizer->step([&] { return loss; });
      EXPECT_TENSORS_NEAR(problem.weight(), tensor_of(expect.at("weight_after")), kExact);
      EXPECT_TENSORS_NEAR(problem.bias(), tensor_of(expect.at("bias_after")), kExact);
    }
  }
}

// row 7: (sigma(x.w) - y) x of each row; the batch's gradient is their mean
TEST(LogisticRegression, gradient_of_one_row_is_its_error_times_the_row) {
  for (const char* kind : {"softmax", "binary"}) {
    Problem problem(kind);
    const auto weights = tensor_of(problem.expect.at("per_row_gradients").at("weight"));
    for (int64_t i = 0; i < 6; ++i) {
      problem.model.zero_grad();
      const auto row =
          batch_of(problem.batch.input().narrow(0, i, 1), problem.batch.target().narrow(0, i, 1));
      StepRunner().train(problem.model, row).backward();
      EXPECT_TENSORS_NEAR(problem.weight().grad(), weights[i], kExact);
    }
    problem.model.zero_grad();
    StepRunner().train(problem.model, problem.batch).backward();
    EXPECT_TENSORS_NEAR(problem.weight().grad(), weights.mean(0), kExact);
  }
}

// row 8: the mini-batches of an epoch have the full batch's gradient on average
TEST(LogisticRegression, mini_batch_gradients_are_unbiased) {
  for (const int64_t size : {1, 2, 3, 6}) {
    Problem problem("softmax");
    StepRunner().train(problem.model, problem.batch).backward();
    const auto full = problem.weight().grad().clone();
    problem.model.zero_grad();
    const auto order = torch::tensor({4, 0, 3, 5, 1, 2});
    for (const auto& rows : order.split(size)) {
      const auto part = batch_of(problem.batch.input().index_select(0, rows),
                                 problem.batch.target().index_select(0, rows));
      StepRunner().train(problem.model, part).backward();
    }
    const auto mean = problem.weight().grad() * static_cast<double>(size) / 6.0;
    EXPECT_TENSORS_NEAR(mean, full, kExact);
  }
}

TEST(LogisticRegression, losses_of_extreme_logits_are_finite_and_exact) {
  const Value& softmax = expected().at("extreme").at("softmax");
  EXPECT_NEAR(
      cross_entropy(tensor_of(softmax.at("logits")), labels_of(softmax.at("y"))).item<double>(),
      softmax.at("loss").as_double(), 1e-9);
  const Value& binary = expected().at("extreme").at("binary");
  const auto logits = tensor_of(binary.at("logits"));
  const auto labels = labels_of(binary.at("y"));
  const auto losses = tensor_of(binary.at("losses"));
  for (int64_t i = 0; i < logits.size(0); ++i) {
    EXPECT_TENSORS_NEAR(cross_entropy(logits.narrow(0, i, 1), labels.narrow(0, i, 1)), losses[i],
                        1e-15);
  }
  const auto p = class_probabilities(torch::tensor({{-800.0}, {800.0}}, torch::kDouble));
  EXPECT_TRUE(p.equal(torch::tensor({{1.0, 0.0}, {0.0, 1.0}}, torch::kDouble))) << p;
}

TEST(LogisticRegression, training_and_validation_loss_of_the_same_rows_are_the_same) {
  Problem problem("softmax", {.l1_strength = 0.1, .l2_strength = 0.2});
  StepRunner runner;
  const double loss = runner.train(problem.model, problem.batch).item<double>();
  const auto trained = runner.step_values();
  const auto validated = runner.validate(problem.model, problem.batch);
  const auto tested = runner.test(problem.model, problem.batch);
  EXPECT_EQ(trained.at("train_loss"), validated.at("val_loss"));
  EXPECT_EQ(trained.at("train_loss"), tested.at("test_loss"));
  EXPECT_NEAR(trained.at("train_loss") + trained.at("train_penalty"), loss, kExact);
  EXPECT_GT(trained.at("train_penalty"), 0.0);
  EXPECT_EQ(validated.at("val_acc"), tested.at("test_acc"));
}

TEST(LogisticRegression, labels_of_any_integer_type_just_work) {
  Problem problem("binary");
  const double wanted = StepRunner().train(problem.model, problem.batch).item<double>();
  for (const auto type :
       {torch::kUInt8, torch::kInt8, torch::kInt16, torch::kInt32, torch::kLong, torch::kBool}) {
    const auto batch = batch_of(problem.batch.input(), problem.batch.target().to(type));
    EXPECT_EQ(StepRunner().train(problem.model, batch).item<double>(), wanted);
    EXPECT_EQ(StepRunner().validate(problem.model, batch).at("val_loss"), wanted);
  }
  const auto column = batch_of(problem.batch.input(), problem.batch.target().unsqueeze(1));
  EXPECT_EQ(StepRunner().train(problem.model, column).item<double>(), wanted);
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const DataError& error) {
    return error.what();
  }
  return "no DataError";
}

TEST(LogisticRegression, labels_that_are_no_classes_are_refused_with_their_row) {
  Problem binary("binary");
  const auto train = [&](const torch::Tensor& y) {
    return message_of([&] { StepRunner().train(binary.model, batch_of(binary.batch.input(), y)); });
  };
  const std::string hint = "; the model has num_classes = 2, so it must be from 0 to 1";
  EXPECT_EQ(train(torch::tensor({0, 1, 1, 2, 0, 1})), "target, row 3: the label is 2" + hint);
  EXPECT_EQ(train(torch::tensor({0, -1, 1, 1, 0, 1})), "target, row 1: the label is -1" + hint);
  EXPECT_EQ(train(torch::zeros({6})),
            "target: the type is Float; class labels must be integers (ArrayDataModule converts "
            "whole numbers if target_type = class)");
  EXPECT_EQ(train(torch::zeros({6, 2}, torch::kLong)),
            "target: the shape is [6, 2]; class labels must be [rows] or [rows, 1], one for each "
            "row");
}

TEST(LogisticRegression, check_data_finds_bad_labels_before_anything_is_read) {
  LogisticRegression model({.in_features = 1, .num_classes = 3});
  const auto x = torch::zeros({4, 1});
  const auto good = std::make_shared<TensorDataset>(x, torch::tensor({0, 1, 2, 1}));
  const auto bad = std::make_shared<TensorDataset>(x, torch::tensor({0, 1, 3, 1}));
  const auto check = [&](std::shared_ptr<const Dataset> data) {
    return message_of([&] { model.check_data(DataLoader(std::move(data), {})); });
  };
  EXPECT_EQ(check(good), "no DataError");
  const std::string message =
      "target, row 2: the label is 3; the model has num_classes = 3, so it must be from 0 to 2";
  EXPECT_EQ(check(bad), message);
  EXPECT_EQ(check(std::make_shared<Subset>(bad, std::vector<int64_t>{3, 2})), message);
  EXPECT_EQ(check(std::make_shared<Subset>(bad, std::vector<int64_t>{3, 0})), "no DataError");
}

TEST(LogisticRegression, inputs_of_any_shape_and_number_type_are_flattened) {
  LogisticRegression model({.in_features = 12, .num_classes = 3});
  const auto images = torch::arange(24).reshape({2, 1, 3, 4});
  const auto flat = model.forward(images.reshape({2, 12}).to(torch::kFloat));
  EXPECT_TRUE(model.forward(images.to(torch::kFloat)).equal(flat));
  EXPECT_TRUE(model.forward(images.to(torch::kUInt8)).equal(flat));
  EXPECT_TRUE(model.forward(images.to(torch::kDouble)).equal(flat));
  EXPECT_EQ(message_of([&] {
              model.forward(torch::zeros({2, 13}));
            }),
            "a row of the input has 13 features, but the model has in_features = 12; set "
            "in_features = 13, or give rows of 12 features. If the rows come from libsvm files, "
            "which don't say how many features there are, set num_features to that number.");
}

TEST(LogisticRegression, starts_with_the_values_pytorch_would) {
  const Value& seeded = baseline("mlp").at("seeded").as_array().front();
  seed_everything(static_cast<uint64_t>(seeded.at("seed").as_int()));
  LogisticRegression model({.in_features = 4, .num_classes = 3});
  const Value& parameters = seeded.at("parameters");
  EXPECT_TENSORS_NEAR(model.named_parameters()["linear.weight"],
                      tensor_of(parameters.at("0.weight")), 0.0);
  EXPECT_TENSORS_NEAR(model.named_parameters()["linear.bias"], tensor_of(parameters.at("0.bias")),
                      0.0);
}

// row 34
TEST(LogisticRegression, hyper_parameters_are_its_options) {
  LogisticRegression model({.in_features = 4, .num_classes = 3, .bias = false, .l2_strength = 0.5});
  model.set_learning_rate(0.25);
  const auto settings = model.hyper_parameters();
  EXPECT_EQ(settings.at("in_features").as_int(), 4);
  EXPECT_EQ(settings.at("bias").as_bool(), false);
  EXPECT_EQ(settings.at("l2_strength").as_double(), 0.5);
  EXPECT_EQ(settings.at("learning_rate").as_double(), 0.25);
  LogisticRegressionOptions again;
  from_value(describe(again), settings, "LogisticRegression");
  EXPECT_EQ(LogisticRegression(again).hyper_parameters(), settings);
}

// row 28: an optimizer built from the learning rate
TEST(LogisticRegression, the_optimizer_is_built_from_name_and_learning_rate) {
  LogisticRegression model(
      {.in_features = 4, .num_classes = 3, .learning_rate = 0.125, .optimizer = "SGD"});
  auto optimizers = model.configure_optimizers();
  ASSERT_EQ(optimizers.size(), 1U);
  EXPECT_EQ(optimizers.entries().front().optimizer->name(), "SGD");
  EXPECT_EQ(optimizers.entries().front().optimizer->groups().front().learning_rate, 0.125);
  EXPECT_EQ(optimizers.entries().front().optimizer->groups().front().parameters.size(), 2U);
}

TEST(LogisticRegression, options_that_cannot_be_are_refused) {
  using Options = LogisticRegressionOptions;
  const auto make = [](Options options) { LogisticRegression model(std::move(options)); };
  EXPECT_THROW(make({.in_features = -1, .num_classes = 3}), ConfigError);
  EXPECT_THROW(make({.in_features = 4, .num_classes = 1}), ConfigError);
  EXPECT_THROW(make({.in_features = 4, .num_classes = -2}), ConfigError);
  EXPECT_THROW(make({.in_features = 4, .num_classes = 3, .learning_rate = -1}), ConfigError);
  EXPECT_THROW(make({.in_features = 4, .num_classes = 3, .l1_strength = -1}), ConfigError);
  EXPECT_THROW(make({.in_features = 4, .num_classes = 3, .l2_strength = NAN}), ConfigError);
  EXPECT_THROW(make({.in_features = 4, .num_classes = 3, .optimizer = "Adm"}), ConfigError);
  EXPECT_THROW(make({.in_features = 4, .num_classes = 3, .loss = "hinge"}), ConfigError);
  EXPECT_THROW(make({.in_features = 4, .num_classes = 3, .loss = "logistic"}), ConfigError);
}

}  // namespace levin::logistic_regression_test
