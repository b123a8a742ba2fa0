#include <levin/callbacks/terminate_on_nan.h>

#include <cmath>
#include <limits>

#include "callbacks/counter.h"

namespace levin::test::terminate_on_nan_test {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// Eight rows in batches of two, of which row 5 has a NaN.
class BadRow : public DataModule {
 public:
  DataLoaders train_dataloader() override {
    auto x = torch::arange(8).to(torch::kFloat).view({-1, 1});
    x[5] = kNan;
    return DataLoader(std::make_shared<TensorDataset>(x, torch::ones({8, 1})), {.batch_size = 2});
  }
};

/// Whose loss, or only whose gradient, becomes NaN with the row.
class Fragile : public OneWeight {
 public:
  explicit Fragile(bool only_gradient) : only_gradient_(only_gradient) {}
  torch::Tensor training_step(const Batch& batch, Step&) override {
    const auto x = batch.input();
    if (!only_gradient_) return (x * weight).mean();
    if (!x.isnan().any().item<bool>()) return -weight.sum();
    return torch::sqrt(weight - weight).sum();  // 0 with the gradient NaN
  }
  Optimizers configure_optimizers() override { return Adam(parameters(), {.learning_rate = 0.5}); }

 private:
  bool only_gradient_;
};

struct Outcome {
  History history;
  std::string finding;
  double weight = 0.0;
  int64_t steps = 0;
};

Outcome fit(bool only_gradient, TerminateOnNaNOptions options, int64_t accumulate = 1) {
  TemporaryFolder folder;
  Fragile model(only_gradient);
  BadRow data;
  TrainerOptions trainer_options = short_fit(folder, 3);
  trainer_options.accumulate_grad_batches = accumulate;
  Trainer trainer(trainer_options);
  const auto& callback = trainer.add<TerminateOnNaN>(std::move(options));
  auto history = trainer.fit(model, data);
  return {history, callback.finding(), model.value(), trainer.run().global_step()};
}

TEST(TerminateOnNaN, StopsAtTheBatchAndNamesItsRows) {
  const Outcome outcome = fit(false, {});
  EXPECT_EQ(outcome.steps, 3);
  EXPECT_EQ(outcome.history.stop_reason,
            "terminate on NaN: the loss of batch 2 in epoch 0 is nan; the batch has the rows 4 to "
            "5 of the data set, of which row 5 has a NaN or infinite value in \"input\"");
  EXPECT_EQ(outcome.finding, outcome.history.stop_reason);
}

TEST(TerminateOnNaN, TheModuleKeepsItsLastFiniteWeights) {
  EXPECT_NEAR(fit(false, {}).weight, -1.0, 0.1) << "two steps of about 0.5, and none by the NaN";
  EXPECT_NEAR(fit(false, {}, /*accumulate=*/2).weight, -0.5, 0.1) << "the window is dropped";
}

TEST(TerminateOnNaN, LooksAtGradientsIfAsked) {
  const Outcome outcome = fit(true, {.check_gradients = true});
  EXPECT_EQ(outcome.steps, 3);
  EXPECT_NEAR(outcome.weight, 1.0, 0.1);
  EXPECT_NE(outcome.finding.find("the gradients of batch 2 in epoch 0 aren't all finite"),
            std::string::npos)
      << outcome.finding;
  EXPECT_EQ(fit(true, {}).steps, 4) << "the loss of the next batch, by weights that are NaN";
}

}  // namespace levin::test::terminate_on_nan_test
