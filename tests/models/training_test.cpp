#include "models/support.h"

#include <optional>

#include <levin/callbacks/early_stopping.h>
#include <levin/datamodules/array.h>
#include <levin/datamodules/digits.h>
#include <levin/datamodules/iris.h>
#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/all.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/threads/threads.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/logistic_regression.h>
#include <levin/models/mlp.h>

namespace levin::training_test {

using test::baseline;
using test::tensor_of;

/// All rows of a data module in their order.
std::pair<torch::Tensor, torch::Tensor> all_rows(DataModule&& data) {
  Batch batch;
  auto reader = data.train_dataloader().front().open();
  reader.next(batch);
  return {batch.input().clone(), batch.target().clone()};
}

/// The data of a case of tests/baselines/sklearn_weights.py in float64.
std::pair<torch::Tensor, torch::Tensor> data_of(const std::string& name) {
  if (name == "digits") {
    return all_rows(DigitsDataModule({.batch_size = 2000,
                                      .val_split = 0,
                                      .test_split = 0,
                                      .shuffle = false,
                                      .dtype = "float64"}));
  }
  auto [x, y] = all_rows(IrisDataModule(
      {.batch_size = 150, .val_split = 0, .test_split = 0, .shuffle = false, .dtype = "float64"}));
  if (name == "iris") return {x, y};
  return {x.narrow(0, 50, 100), y.narrow(0, 50, 100) - 1};
}

TrainerOptions quiet(int64_t max_epochs) {
  return {.accelerator = "cpu", .max_epochs = max_epochs, .num_sanity_val_steps = 0};
}

/// Intercepts are unique up to one constant added to all classes, where there are several.
torch::Tensor centred(const torch::Tensor& intercept) {
  return intercept.numel() == 1 ? intercept : intercept - intercept.mean();
}

// With l2_strength = 1 / (2 C n) the objective is scikit-learn's.
TEST(Training, converges_to_the_weights_of_scikit_learn) {
  for (const auto& expect : baseline("sklearn_weights").at("cases").as_array()) {
    const auto name = expect.at("data").as_string();
    SCOPED_TRACE(name + " C " + expect.at("C").to_json());
    const auto [x, y] = data_of(name);
    const auto coef = tensor_of(expect.at("coef"));
    LogisticRegression model({.in_features = x.size(1),
                              .num_classes = y.max().item<int64_t>() + 1,
                              .l2_strength = expect.at("l2_strength").as_double()});
    model.to(torch::kDouble);
    ArrayDataModule data(x, y,
                         {.batch_size = 2000,
                          .val_split = 0,
                          .test_split = 0,
                          .shuffle = false,
                          .dtype = "float64"});
    Trainer trainer(quiet(3));
    trainer.set_optimizers([](Module& module) {
      return LBFGS(module.parameters(), {.max_iter = 1500,
                                         .tolerance_grad = 1e-9,
                                         .tolerance_change = 1e-15,
                                         .line_search_fn = "strong_wolfe"});
    });
    trainer.fit(model, data);
    const auto parameters = model.named_parameters();
    EXPECT_TENSORS_NEAR(parameters["linear.weight"], coef, 1e-4);
    EXPECT_TENSORS_NEAR(centred(parameters["linear.bias"]),
                        centred(tensor_of(expect.at("intercept"))), 1e-4);
    test::StepRunner runner;
    const auto batch = test::batch_of(x, y);
    EXPECT_NEAR(runner.train(model, batch).item<double>(), expect.at("objective").as_double(),
                1e-8);
    EXPECT_NEAR(runner.validate(model, batch).at("val_acc"), expect.at("accuracy").as_double(),
                1e-12);
  }
}

/// The objective on all rows of Iris after training with batches of that size. The features are
/// centred, which makes descent fast and leaves the optimum where it is: the bias is unpenalised.
double objective_after(int64_t batch_size, int64_t epochs, double learning_rate, double gamma) {
  seed_everything(5);
  const auto [raw, y] = data_of("iris");
  const auto x = raw - raw.mean(0);
  LogisticRegression model({.in_features = 4, .num_classes = 3, .l2_strength = 1.0 / 30.0});
  ArrayDataModule data(x, y, {.batch_size = batch_size, .val_split = 0, .test_split = 0});
  Trainer trainer(quiet(epochs));
  trainer.set_optimizers([&](Module& module) -> Optimizers {
    return {SGD(module.parameters(), {.learning_rate = learning_rate}),
            ExponentialLR({.gamma = gamma})};
  });
  trainer.fit(model, data);
  test::StepRunner runner;
  return runner.train(model, test::batch_of(x, y)).item<double>();
}

// rows 8 and 9: gradient descent on the whole, on single rows and on mini-batches, with a step-size
// schedule, arrives at the same optimum
TEST(Training, full_batch_single_row_and_mini_batch_descent_reach_the_optimum) {
  // C = 0.1: l2_strength = 1 / (2 * 0.1 * 150).
  const double optimum =
      baseline("sklearn_weights").at("cases").as_array().at(2).at("objective").as_double();
  EXPECT_GT(objective_after(150, 1, 0.0, 1.0), optimum + 0.5);  // where it starts
  EXPECT_NEAR(objective_after(150, 400, 0.5, 1.0), optimum, 1e-3);
  EXPECT_NEAR(objective_after(16, 150, 0.2, 0.97), optimum, 1e-3);
  EXPECT_NEAR(objective_after(1, 60, 0.03, 0.93), optimum, 1e-3);
}

// row 9: until a stopping rule
TEST(Training, goes_on_until_a_stopping_rule) {
  seed_everything(1);
  DigitsDataModule data;
  LogisticRegression model({.in_features = 64, .num_classes = 10, .learning_rate = 0.05});
  Trainer trainer(quiet(200));
  trainer.add<EarlyStopping>({.monitor = "val_loss", .min_delta = 1e-3, .patience = 2});
  const auto history = trainer.fit(model, data);
  EXPECT_LT(history.epochs.size(), 100U);
  EXPECT_GT(history.last("val_acc"), 0.9);
}

// row 22: the loop isn't touched
TEST(Training, a_net_takes_the_place_of_logistic_regression_in_one_line) {
  const auto test_accuracy = [](Classifier&& model) {
    DigitsDataModule data;
    Trainer trainer(quiet(8));
    trainer.fit(model, data);
    return trainer.test(model, data).at("test_acc");
  };
  seed_everything(1);
  EXPECT_GT(test_accuracy(
                LogisticRegression({.in_features = 64, .num_classes = 10, .learning_rate = 0.01})),
            0.9);
  EXPECT_GT(test_accuracy(MLP({.in_features = 64, .num_classes = 10, .learning_rate = 0.01})), 0.9);
}

// row 26
TEST(Training, an_untrained_net_validated_before_fit_scores_about_ten_percent) {
  double sum = 0.0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    seed_everything(seed);
    DigitsDataModule data({.batch_size = 1000, .val_split = 0.5});
    MLP model({.in_features = 64, .num_classes = 10});
    sum += Trainer(quiet(1)).validate(model, data).at("val_acc");
  }
  EXPECT_NEAR(sum / 20, 0.1, 0.03);
}

class WithoutOptimizer : public MLP {
 public:
  WithoutOptimizer() : MLP({.in_features = 64, .num_classes = 10}) {}
  Optimizers configure_optimizers() override { throw std::logic_error("nobody needs one here"); }
};

// row 28: an evaluation without an optimizer; metrics weigh rows, not batches, equally
TEST(Training, evaluation_needs_no_optimizer_and_weighs_rows_equally) {
  seed_everything(3);
  WithoutOptimizer model;
  DigitsDataModule whole({.batch_size = 1000});
  DigitsDataModule parts({.batch_size = 7});
  Trainer trainer(quiet(1));
  const auto a = trainer.test(model, whole);
  const auto b = trainer.test(model, parts);
  EXPECT_NEAR(a.at("test_acc"), b.at("test_acc"), 1e-12);
  EXPECT_NEAR(a.at("test_loss"), b.at("test_loss"), 1e-6);
}

// row 2
TEST(Training, prediction_gives_class_and_probabilities_of_all_rows_in_order) {
  seed_everything(3);
  DigitsDataModule data({.batch_size = 100});
  LogisticRegression model({.in_features = 64, .num_classes = 10});
  Trainer trainer(quiet(1));
  const auto out = trainer.predict(model, data);
  const auto [x, y] = all_rows(
      DigitsDataModule({.batch_size = 2000, .val_split = 0, .test_split = 0, .shuffle = false}));
  ASSERT_EQ(out.size(), 2U);
  EXPECT_TRUE(out[0].second.equal(model.forward(x).argmax(1)));
  EXPECT_TENSORS_NEAR(out[1].second, model.forward(x).softmax(1), 1e-6);
}

TEST(Training, a_label_out_of_range_is_refused_before_the_first_step) {
  auto x = torch::randn({200, 4});
  auto y = torch::zeros({200}, torch::kLong);
  for (int64_t i = 0; i < 200; ++i) y[i] = i % 3;
  ArrayDataModule data(x, y, {.batch_size = 1});
  LogisticRegression model({.in_features = 4, .num_classes = 2});
  const auto before = model.state_dict().clone();
  Trainer trainer(quiet(1));
  EXPECT_THROW(trainer.fit(model, data), DataError);
  EXPECT_EQ(trainer.run().global_step(), 0);
  EXPECT_TRUE(model.state_dict().tensor("linear.weight").equal(before.tensor("linear.weight")));
  EXPECT_THROW(trainer.validate(model, data), DataError);
  EXPECT_NO_THROW(trainer.predict(model, data));
}

// The batches are so large that threads share the work.
TEST(Training, weights_have_the_same_bits_for_any_number_of_threads) {
  const auto x = torch::rand({1500, 784});
  const auto y = torch::randint(10, {1500}, torch::kLong);
  const auto trained = [&](Module&& model, const CountOrName& threads) {
    ArrayDataModule data(x, y, {.batch_size = 512, .test_split = 0.0});
    auto options = quiet(2);
    options.threads = threads;
    Trainer(options).fit(model, data);
    return model.state_dict();
  };
  ThreadScope scope;
  scope.set({.threads = 3, .short_waits = true});  // what the default may use
  for (const bool hidden : {false, true}) {
    std::optional<StateDict> first;
    for (const CountOrName& threads : std::vector<CountOrName>{1, 2, 3, 4, ""}) {
      seed_everything(5);
      StateDict weights;
      if (hidden) {
        weights = trained(MLP({.in_features = 784, .num_classes = 10, .hidden_sizes = {128, 64}}),
                          threads);
      } else {
        weights = trained(LogisticRegression({.in_features = 784, .num_classes = 10}), threads);
      }
      if (!first) first = weights.clone();
      for (const auto& [name, tensor] : first->tensors) {
        EXPECT_TRUE(torch::equal(weights.tensor(name), tensor)) << name;
      }
    }
  }
}

}  // namespace levin::training_test
