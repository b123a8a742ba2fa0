#include <levin/tuning/batched/stacked_models.h>

#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "framework/message_of.h"

#include <levin/datamodules/array.h>
#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/all.h>
#include <levin/framework/optimizers/parameter_groups.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/linear_regression.h>
#include <levin/models/logistic_regression.h>
#include <levin/models/mlp.h>
#include <levin/tuning/batched/softmax_stack.h>

namespace levin::stacked_models_test {

using Factory = std::function<Optimizers(Module&)>;

constexpr uint64_t kSeed = 5;
constexpr int64_t kRows = 130;  // so that the last batches are smaller

/// What distinguishes the models of a test.
struct Case {
  double learning_rate;
  double l1_strength;
  double l2_strength;
  double weight_decay;
};

const std::vector<Case> kCases = {
    {0.05, 0.0, 0.0, 0.0}, {0.01, 0.001, 0.01, 0.1}, {0.2, 0.0, 0.1, 0.01}};

ArrayDataModule classes(int64_t number, int64_t batch_size = 16) {
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(3);
  const auto x = at::randn({kRows, 6}, generator, at::kFloat);
  const auto scores = x.mm(at::randn({6, number}, generator, at::kFloat));
  return ArrayDataModule(x, scores.argmax(1), {.batch_size = batch_size, .val_split = 0.2});
}

ArrayDataModule values() {
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(3);
  const auto x = at::randn({kRows, 6}, generator, at::kFloat);
  return ArrayDataModule(x, x.mm(at::randn({6, 2}, generator, at::kFloat)),
                         {.batch_size = 16, .val_split = 0.2, .target_type = "value"});
}

template <class Model>
typename Model::Options options_of(const Case& one, const std::string& optimizer) {
  typename Model::Options options;
  options.learning_rate = one.learning_rate;
  options.l1_strength = one.l1_strength;
  options.l2_strength = one.l2_strength;
  options.optimizer = optimizer;
  return options;
}

/// The weights and metrics of a model.
struct Outcome {
  StateDict weights;
  MetricMap metrics;
};

using Make = std::function<std::unique_ptr<Module>(const Case&)>;
/// An optimizer for some parameters, in place of the one that the models name.
using MakeOptimizer =
    std::function<std::unique_ptr<Optimizer>(std::vector<torch::Tensor>, const Case&)>;

Outcome train_alone(const Make& make, const Case& one, DataModule& data, TrainerOptions options,
                    const MakeOptimizer& make_optimizer) {
  seed_everything(kSeed);
  const auto model = make(one);
  Trainer trainer(std::move(options));
  if (make_optimizer) {
    trainer.set_optimizers(
        [&](Module& module) { return Optimizers(make_optimizer(module.parameters(), one)); });
  }
  trainer.fit(*model, data);
  return {model->state_dict().clone(), trainer.run().metrics()};
}

std::vector<Outcome> train_together(const Make& make, DataModule& data, TrainerOptions options,
                                    const MakeOptimizer& make_optimizer) {
  seed_everything(kSeed);
  std::vector<StackedModels::Maker> makers;
  for (const Case& one : kCases) makers.push_back([&] { return make(one); });
  StackedModels models(makers);
  if (options.gradient_clip_val) models.clip_each(*options.gradient_clip_val);
  Trainer trainer(std::move(options));
  if (make_optimizer) {
    trainer.set_optimizers([&](Module& module) {
      auto optimizer = make_optimizer(module.parameters(), kCases.front());
      std::vector<StackedModels::Rates> rates;
      for (const Case& one : kCases) rates.push_back({one.learning_rate, one.weight_decay});
      models.divide(*optimizer, rates);
      return Optimizers(std::move(optimizer));
    });
  }
  trainer.fit(models, data);
  std::vector<Outcome> outcomes;
  for (size_t k = 0; k < kCases.size(); ++k) {
    outcomes.push_back(
        {models.model(k).state_dict().clone(), metrics_of_model(trainer.run().metrics(), k)});
  }
  return outcomes;
}

TrainerOptions quiet(int64_t epochs) {
  TrainerOptions options;
  options.accelerator = "cpu";
  options.max_epochs = epochs;
  options.threads = 1;
  return options;
}

void expect_same(const Outcome& together, const Outcome& alone) {
  ASSERT_EQ(together.weights.tensors.size(), alone.weights.tensors.size());
  for (const auto& [name, weight] : alone.weights.tensors) {
    const auto& other = together.weights.tensor(name);
    const double scale = weight.abs().max().item<double>();
    EXPECT_LE((other - weight).abs().max().item<double>(), 1e-5 * scale) << name;
  }
  ASSERT_EQ(together.metrics.size(), alone.metrics.size());
  for (const auto& [name, value] : alone.metrics) {
    EXPECT_NEAR(together.metrics.at(name), value, 1e-5 * std::abs(value)) << name;
  }
}

void expect_equal_to_alone(const Make& make, DataModule& data, TrainerOptions options,
                           const MakeOptimizer& make_optimizer = {}) {
  const auto together = train_together(make, data, options, make_optimizer);
  for (size_t k = 0; k < kCases.size(); ++k) {
    SCOPED_TRACE(fmt::format("model {}", k));
    expect_same(together[k], train_alone(make, kCases[k], data, options, make_optimizer));
  }
}

// row 54
TEST(StackedModels, softmax_regressions_are_those_trained_alone) {
  auto data = classes(4);
  for (const char* optimizer : {"SGD", "Adam", "AdamW", "RMSprop", "Adagrad"}) {
    SCOPED_TRACE(optimizer);
    expect_equal_to_alone(
        [&](const Case& one) {
          return std::make_unique<LogisticRegression>(
              options_of<LogisticRegression>(one, optimizer));
        },
        data, quiet(3));
  }
}

// The kernels take the rows of a batch in blocks of 64.
TEST(StackedModels, regressions_with_batches_of_many_rows_are_those_trained_alone) {
  auto data = classes(11, 104);
  expect_equal_to_alone(
      [](const Case& one) {
        return std::make_unique<LogisticRegression>(options_of<LogisticRegression>(one, "SGD"));
      },
      data, quiet(5));
}

// Such batches are left to the library's products.
TEST(StackedModels, regressions_of_many_features_are_those_trained_alone) {
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(3);
  const auto x = at::randn({20, 4'200}, generator, at::kFloat);
  ASSERT_FALSE(SoftmaxStack::can_take(at::zeros({3, 3, 4'200}), x.narrow(0, 0, 16)));
  ArrayDataModule data(x, at::arange(20).remainder(3), {.batch_size = 16, .val_split = 0.2});
  expect_equal_to_alone(
      [](const Case& one) {
        return std::make_unique<LogisticRegression>(options_of<LogisticRegression>(one, "SGD"));
      },
      data, quiet(1));
}

TEST(StackedModels, regressions_of_two_classes_with_metrics_are_those_trained_alone) {
  auto data = classes(2);
  expect_equal_to_alone(
      [](const Case& one) {
        auto options = options_of<LogisticRegression>(one, "Adam");
        options.metrics = {"auroc", {"fbeta", Value::Object{{"beta", 2.0}, {"as", "f2"}}}};
        return std::make_unique<LogisticRegression>(options);
      },
      data, quiet(3));
}

TEST(StackedModels, penalties_by_C_are_those_of_models_trained_alone) {
  auto data = classes(4);
  expect_equal_to_alone(
      [](const Case& one) {
        LogisticRegressionOptions options;
        options.C = 1.0 / (1.0 + one.learning_rate);
        options.l1_ratio = one.learning_rate;
        return std::make_unique<LogisticRegression>(options);
      },
      data, quiet(2));
}

TEST(StackedModels, linear_regressions_with_their_metrics_are_those_trained_alone) {
  auto data = values();
  expect_equal_to_alone(
      [](const Case& one) {
        return std::make_unique<LinearRegression>(options_of<LinearRegression>(one, "SGD"));
      },
      data, quiet(3));
}

TEST(StackedModels, nets_of_each_activation_are_those_trained_alone) {
  auto data = classes(4);
  for (const char* activation : {"relu", "tanh", "gelu"}) {
    SCOPED_TRACE(activation);
    expect_equal_to_alone(
        [&](const Case& one) {
          auto options = options_of<MLP>(one, "SGD");
          options.hidden_sizes = {8, 5};
          options.activation = activation;
          return std::make_unique<MLP>(options);
        },
        data, quiet(3));
  }
}

TEST(StackedModels, weight_decays_and_momentum_are_those_of_models_trained_alone) {
  auto data = classes(4);
  const auto make = [](const Case& one) {
    auto options = options_of<MLP>(one, "SGD");
    options.hidden_sizes = {8};
    options.bias = false;
    return std::make_unique<MLP>(options);
  };
  expect_equal_to_alone(make, data, quiet(3), [](auto parameters, const Case& one) {
    return std::make_unique<SGD>(std::move(parameters),
                                 SGDOptions{.learning_rate = one.learning_rate,
                                            .momentum = 0.9,
                                            .weight_decay = one.weight_decay,
                                            .nesterov = true});
  });
  expect_equal_to_alone(make, data, quiet(3), [](auto parameters, const Case& one) {
    return std::make_unique<AdamW>(
        std::move(parameters),
        AdamWOptions{.learning_rate = one.learning_rate, .weight_decay = one.weight_decay});
  });
}

TEST(StackedModels, accumulated_and_clipped_gradients_are_those_of_models_trained_alone) {
  auto data = classes(4);
  auto options = quiet(3);
  options.accumulate_grad_batches = 3;
  options.gradient_clip_val = 0.05;
  expect_equal_to_alone(
      [](const Case& one) {
        return std::make_unique<LogisticRegression>(options_of<LogisticRegression>(one, "SGD"));
      },
      data, options);
}

// Such an optimizer drops gradients at the beginning of each window of batches.
TEST(StackedModels, an_optimizer_that_knows_nothing_of_the_stack_trains_the_models) {
  auto data = classes(4);
  auto options = quiet(2);
  options.accumulate_grad_batches = 2;
  const Make make = [](const Case& one) {
    return std::make_unique<LogisticRegression>(options_of<LogisticRegression>(one, "SGD"));
  };
  const MakeOptimizer sgd = [](auto parameters, const Case&) {
    return std::make_unique<SGD>(std::move(parameters), SGDOptions{.learning_rate = 0.1});
  };
  seed_everything(kSeed);
  std::vector<StackedModels::Maker> makers;
  for (const Case& one : kCases) makers.push_back([&] { return make(one); });
  StackedModels models(makers);
  Trainer trainer(options);
  trainer.set_optimizers([&](Module& module) { return Optimizers(sgd(module.parameters(), {})); });
  trainer.fit(models, data);
  for (size_t k = 0; k < kCases.size(); ++k) {
    expect_same(
        {models.model(k).state_dict().clone(), metrics_of_model(trainer.run().metrics(), k)},
        train_alone(make, kCases[k], data, options, sgd));
  }
}

TEST(StackedModels, models_in_double_precision_are_those_trained_alone) {
  auto data = classes(4);
  auto options = quiet(2);
  options.precision = "64-true";
  expect_equal_to_alone(
      [](const Case& one) {
        return std::make_unique<LogisticRegression>(options_of<LogisticRegression>(one, "Adam"));
      },
      data, options);
}

TEST(StackedModels, begin_with_the_bits_of_a_model_alone) {
  auto data = classes(4);
  auto options = quiet(1);
  options.limit_train_batches = 0;
  const Make make = [](const Case& one) {
    auto settings = options_of<MLP>(one, "SGD");
    settings.hidden_sizes = {8};
    return std::make_unique<MLP>(settings);
  };
  options.limit_train_batches = 1;
  const MakeOptimizer still = [](auto parameters, const Case&) {
    return std::make_unique<SGD>(std::move(parameters), SGDOptions{.learning_rate = 0.0});
  };
  seed_everything(kSeed);
  const auto alone = train_alone(make, kCases[0], data, options, still);
  seed_everything(kSeed);
  std::vector<StackedModels::Maker> makers;
  for (const Case& one : kCases) makers.push_back([&] { return make(one); });
  StackedModels models(makers);
  Trainer trainer(options);
  trainer.set_optimizers(
      [&](Module& module) { return Optimizers(still(module.parameters(), {})); });
  trainer.fit(models, data);
  for (size_t k = 0; k < kCases.size(); ++k) {
    for (const auto& [name, weight] : models.model(k).state_dict().tensors) {
      EXPECT_TRUE(weight.equal(alone.weights.tensor(name))) << name;
    }
  }
}

/// Stops the second model after the first epoch.
class StopsOne : public Callback {
 public:
  explicit StopsOne(StackedModels& models) : models_(models) {}
  void on_train_epoch_end(Run& run) override {
    if (run.epoch() != 0) return;
    models_.stop(1);
    weights = models_.model(1).state_dict().clone();
  }
  StateDict weights;

 private:
  StackedModels& models_;
};

TEST(StackedModels, a_model_that_is_stopped_stays_as_it_is_and_the_others_go_on) {
  auto data = classes(4);
  const Make make = [](const Case& one) {
    return std::make_unique<LogisticRegression>(options_of<LogisticRegression>(one, "Adam"));
  };
  seed_everything(kSeed);
  std::vector<StackedModels::Maker> makers;
  for (const Case& one : kCases) makers.push_back([&] { return make(one); });
  StackedModels models(makers);
  Trainer trainer(quiet(3));
  auto made = std::make_unique<StopsOne>(models);
  const StopsOne& stops = *made;
  trainer.add(std::move(made), HookSet());
  trainer.fit(models, data);
  const auto after = models.model(1).state_dict();
  for (const auto& [name, weight] : stops.weights.tensors) {
    EXPECT_TRUE(weight.equal(after.tensor(name))) << name;
  }
  const Outcome last{models.model(2).state_dict().clone(),
                     metrics_of_model(trainer.run().metrics(), 2)};
  expect_same(last, train_alone(make, kCases[2], data, quiet(3), {}));
}

TEST(StackedModels, refuses_models_that_it_would_train_otherwise) {
  const auto refusal = [](const MLPOptions& a, const MLPOptions& b) {
    return test::message_of<ConfigError>([&] {
      StackedModels(
          {[&] { return std::make_unique<MLP>(a); }, [&] { return std::make_unique<MLP>(b); }});
    });
  };
  MLPOptions plain;
  MLPOptions other = plain;
  other.hidden_sizes = {16};
  EXPECT_NE(refusal(plain, other).find("differ in more than"), std::string::npos);
  other = plain;
  other.dropout = 0.5;
  EXPECT_NE(refusal(other, other).find("dropout = 0.5"), std::string::npos);
  other = plain;
  other.class_weight = "balanced";
  EXPECT_NE(refusal(other, other).find("class_weight"), std::string::npos);
}

TEST(StackedModels, names_of_metrics_tell_the_models_apart) {
  const MetricMap all = {{"val_loss/0", 1.0},
                         {"val_loss/12", 2.0},
                         {"val_recall/12_cat", 3.0},
                         {"val_loss/12/dataloader_idx_1", 4.0},
                         {"val_loss", 5.0}};
  const MetricMap own = {
      {"val_loss", 2.0}, {"val_recall_cat", 3.0}, {"val_loss/dataloader_idx_1", 4.0}};
  EXPECT_EQ(metrics_of_model(all, 12), own);
}

}  // namespace levin::stacked_models_test
