#include <levin/framework/trainer/tuner.h>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <new>

#include <levin/framework/core/error.h>
#include <levin/framework/run/step.h>
#include <levin/framework/solvers/all.h>
#include <levin/framework/tensor/random.h>

#include "framework/message_of.h"
#include "framework/support.h"

namespace levin::tuner_test {

using test::message_of;
using test::same_bits;
using test::says;
using test::TemporaryFolder;

struct TunerTrial : ::testing::Test {
  TrainerOptions options() const {
    return {.accelerator = "cpu",
            .max_epochs = 2,
            .num_sanity_val_steps = 0,
            .default_root_dir = folder.path().string()};
  }
  TemporaryFolder folder;
  test::PointsModule data{50, {.batch_size = 8, .shuffle = true, .seed = 5}};
};

void expect_same(const StateDict& a, const StateDict& b) {
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (const auto& [name, tensor] : a.tensors) {
    EXPECT_TRUE(same_bits(tensor, b.tensor(name))) << name;
  }
}

TEST_F(TunerTrial, of_learning_rates_changes_nothing_and_suggests_one_that_trains) {
  torch::manual_seed(1);
  test::Classifier model(/*dropout=*/0.1);
  const StateDict weights = model.state_dict().clone();
  model.parameters()[0].mutable_grad() = torch::ones_like(model.parameters()[0]).detach();
  const StateDict random = random_state().clone();
  const auto found = lr_find(options(), model, data, {.min_lr = 1e-5, .max_lr = 10.0});
  expect_same(model.state_dict(), weights);
  expect_same(random_state(), random);
  EXPECT_FALSE(model.is_trained());
  EXPECT_TRUE(model.parameters()[0].grad().eq(1.0).all().item<bool>());
  EXPECT_FALSE(model.parameters()[1].grad().defined());
  ASSERT_EQ(found.rates.size(), found.losses.size());
  EXPECT_DOUBLE_EQ(found.rates[0], 1e-5);
  EXPECT_NEAR(found.rates[50], 1e-5 * std::pow(1e6, 50.0 / 99.0), 1e-12);
  const auto rate = found.suggestion();
  ASSERT_TRUE(rate.has_value());
  EXPECT_GT(*rate, 1e-4);
  EXPECT_LT(*rate, 1.0);

  // A fit after it has the bits of a fit without it.
  test::Classifier other(/*dropout=*/0.1);
  other.load_state_dict(weights);
  load_random_state(random);
  Trainer(options()).fit(other, data);
  load_random_state(random);
  Trainer(options()).fit(model, data);
  expect_same(model.state_dict(), other.state_dict());
}

TEST_F(TunerTrial, of_learning_rates_ends_when_the_loss_explodes) {
  test::Classifier model;
  const auto sgd = [](Module& own) {
    return Optimizers(SGD(own.parameters(), {.learning_rate = 0.1}));
  };
  const LrFindOptions find{.min_lr = 1e-3, .max_lr = 1e6, .num_training = 60};
  const auto found = lr_find(options(), model, data, find, sgd);
  EXPECT_LT(found.losses.size(), 60U);
  EXPECT_GT(found.losses.size(), 10U);
  LrFindOptions on = find;
  on.early_stop_threshold.reset();
  EXPECT_EQ(lr_find(options(), model, data, on, sgd).losses.size(), 60U);
}

TEST_F(TunerTrial, of_learning_rates_raises_those_of_all_groups) {
  class Watched : public test::Classifier {
   public:
    Optimizers configure_optimizers() override {
      const auto all = parameters();
      return {SGD({{.parameters = {all[0], all[1]}},
                   {.parameters = {all[2], all[3]}, .learning_rate = 0.02}},
                  {.learning_rate = 0.1}),
              StepLR({.step_size = 1})};
    }
    void on_before_optimizer_step(Optimizer& optimizer, Step&) override {
      for (const auto& group : optimizer.groups()) rates.push_back(group.learning_rate);
    }
    std::vector<double> rates;
  };
  Watched model;
  lr_find(options(), model, data,
          {.min_lr = 0.1, .max_lr = 0.5, .num_training = 3, .mode = "linear"});
  ASSERT_EQ(model.rates.size(), 6U);
  const std::vector<double> expected = {0.1, 0.02, 0.3, 0.06, 0.5, 0.1};
  for (size_t i = 0; i < 6; ++i) EXPECT_NEAR(model.rates[i], expected[i], 1e-12);
}

TEST_F(TunerTrial, of_learning_rates_needs_one_optimizer_that_has_one) {
  test::Classifier model;
  const auto refused = [&](const LrFindOptions& find, const OptimizersFactory& make = {}) {
    return message_of<ConfigError>([&] { lr_find(options(), model, data, find, make); });
  };
  EXPECT_TRUE(
      says(refused({}, [](Module& own) { return Optimizers(QuasiNewton(own.parameters())); }),
           {"lr_find needs one optimizer", "solvers"}));
  EXPECT_TRUE(says(refused({.min_lr = 1.0, .max_lr = 0.5}), {"max_lr = 0.5"}));
  EXPECT_TRUE(says(refused({.num_training = 1}), {"num_training = 1"}));
  EXPECT_TRUE(says(refused({.mode = "cubic"}), {"mode = cubic"}));
}

TEST_F(TunerTrial, is_refused_if_no_rank_could_put_back_all_weights) {
  test::Classifier model;
  for (const bool has_stages : {true, false}) {
    auto spread = options();
    (has_stages ? spread.pipeline_size : spread.tensor_size) = 2;
    spread.devices = 2;
    const std::string option = has_stages ? "pipeline_size" : "tensor_size";
    EXPECT_TRUE(says(message_of<ConfigError>([&] { lr_find(spread, model, data); }),
                     {"lr_find with " + option + " = 2", option + " = 1"}));
    const std::string expected = "scale_batch_size with " + option + " = 2";
    EXPECT_TRUE(
        says(message_of<ConfigError>([&] { scale_batch_size(spread, model, data); }), {expected}));
    EXPECT_TRUE(says(message_of<ConfigError>(
                         [&] { scale_batch_size(spread, model, data, single_rank(), {}, {}); }),
                     {expected}));
  }
}

TEST(TunerSuggestion, is_where_the_loss_falls_fastest) {
  LearningRates seen;
  const double losses[] = {9, 1, 8, 7.9, 7.5, 5, 3, 2.9, 2.9, 4, 0};
  for (size_t i = 0; i < std::size(losses); ++i) {
    seen.rates.push_back(static_cast<double>(i));
    seen.losses.push_back(losses[i]);
  }
  EXPECT_EQ(seen.suggestion(2, 1), 5.0);
  EXPECT_EQ(seen.suggestion(0, 1), 0.0);
  seen.losses[5] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(seen.suggestion(2, 1), 4.0);
  EXPECT_EQ(seen.suggestion(9, 1), std::nullopt);
  EXPECT_EQ(LearningRates{}.suggestion(), std::nullopt);
}

/// Runs out of memory with more than `room` rows.
class Large : public test::Classifier {
 public:
  explicit Large(int64_t most) : room(most) {}
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    sizes.push_back(batch.rows());
    if (batch.rows() > room) throw std::bad_alloc();
    return test::Classifier::training_step(batch, step);
  }
  int64_t room;
  std::vector<int64_t> sizes;
};

TEST_F(TunerTrial, of_batch_sizes_finds_the_largest_that_fits) {
  Large model(37);
  const StateDict weights = model.state_dict().clone();
  const auto find = [&](const ScaleBatchSizeOptions& scale) {
    return scale_batch_size(options(), model, data, scale);
  };
  EXPECT_EQ(find({.steps_per_trial = 1}), 32);
  EXPECT_EQ(model.sizes, (std::vector<int64_t>{2, 4, 8, 16, 32, 50}));
  EXPECT_EQ(find({.mode = "binsearch", .steps_per_trial = 1, .margin = 0.0}), 37);
  EXPECT_EQ(find({.mode = "binsearch", .steps_per_trial = 1, .margin = 0.1}), 34);
  EXPECT_EQ(find({.steps_per_trial = 1, .max_val = 20}), 20);
  EXPECT_EQ(find({.steps_per_trial = 1, .max_trials = 3}), 8);
  EXPECT_EQ(find({.steps_per_trial = 1, .init_val = 48}), 24);
  model.room = 1000;
  EXPECT_EQ(find({.steps_per_trial = 1}), 50) << "there are 50 rows";
  expect_same(model.state_dict(), weights);
  EXPECT_FALSE(model.is_trained());
}

TEST_F(TunerTrial, of_batch_sizes_passes_on_what_is_not_a_lack_of_memory) {
  Large none(0);
  EXPECT_THROW(scale_batch_size(options(), none, data), std::bad_alloc);
  class Broken : public test::Classifier {
    torch::Tensor training_step(const Batch&, Step&) override { throw DataError("broken"); }
  } broken;
  EXPECT_THROW(scale_batch_size(options(), broken, data), DataError);
  const auto refused = [&](const ScaleBatchSizeOptions& scale) {
    return message_of<ConfigError>([&] { scale_batch_size(options(), none, data, scale); });
  };
  EXPECT_TRUE(says(refused({.mode = "half"}), {"mode = half"}));
  EXPECT_TRUE(says(refused({.init_val = 0}), {"init_val = 0"}));
  EXPECT_TRUE(says(refused({.margin = 1.0}), {"margin = 1"}));
}

}  // namespace levin::tuner_test
