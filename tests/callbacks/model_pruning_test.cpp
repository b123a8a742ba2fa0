#include <levin/callbacks/model_pruning.h>
#include <levin/framework/core/error.h>

#include "callbacks/counter.h"

namespace levin::test::model_pruning_test {

int64_t zeros(const torch::Tensor& tensor) { return tensor.eq(0).sum().item<int64_t>(); }

/// The weights of the two layers, [16, 4] and [3, 16], after a fit that called `look` after each
/// batch.
std::pair<torch::Tensor, torch::Tensor> fit(
    ModelPruningOptions options, int64_t epochs,
    const std::function<void(const Classifier&, Step&)>& look = {}) {
  TemporaryFolder folder;
  seed_everything(1);
  Classifier model;
  PointsModule data(24, {.batch_size = 8});
  Trainer trainer(short_fit(folder, epochs));
  trainer.add<ModelPruning>(std::move(options));
  trainer.add<LambdaCallback>(
      {.on_train_batch_end = [&](const torch::Tensor&, const Batch&, Step& step) {
        if (look) look(model, step);
      }});
  trainer.fit(model, data);
  const auto parameters = model.named_parameters();
  return {parameters["hidden.weight"].detach(), parameters["output.weight"].detach()};
}

TEST(ModelPruning, PrunesTheSmallestWeightsOfAllLayersTogether) {
  const auto [hidden, output] = fit({.amount = 0.5}, 1);
  EXPECT_EQ(zeros(hidden) + zeros(output), (64 + 48) / 2);
  EXPECT_NE(zeros(hidden), 32) << "the layers differ in size, so their shares do, too";
  const auto all = torch::cat({hidden.flatten(), output.flatten()}).abs();
  EXPECT_GT(all.masked_select(all.gt(0)).min().item<double>(), 0.05) << "the small ones are gone";
}

TEST(ModelPruning, PrunesEachLayerByItself) {
  const auto [hidden, output] = fit({.amount = 0.25, .use_global_unstructured = false}, 1);
  EXPECT_EQ(zeros(hidden), 16);
  EXPECT_EQ(zeros(output), 12);
  const auto [first, second] = fit({.amount = 10, .use_global_unstructured = false}, 1);
  EXPECT_EQ(zeros(first), 10);
  EXPECT_EQ(zeros(second), 10);
}

TEST(ModelPruning, PrunesAShareOfWhatIsLeftUpToTheLastEpoch) {
  const auto [hidden, output] = fit(
      {.amount = 0.5, .parameters = {"hidden.weight"}, .every_n_epochs = 2, .last_epoch = 3}, 6);
  EXPECT_EQ(zeros(hidden), 32 + 16) << "after epochs 1 and 3";
  EXPECT_EQ(zeros(output), 0);
}

TEST(ModelPruning, PrunedWeightsStayZeroWhileTheOthersAreTrained) {
  torch::Tensor before;
  int64_t looks = 0;
  fit({.amount = 0.5, .parameters = {"hidden.weight"}, .last_epoch = 0}, 3,
      [&](const Classifier& model, Step& step) {
        if (step.epoch() == 0) return;
        const auto weight = model.named_parameters()["hidden.weight"].detach().clone();
        EXPECT_EQ(zeros(weight), 32);
        if (before.defined()) {
          EXPECT_TRUE(torch::equal(before.eq(0), weight.eq(0)));
          EXPECT_FALSE(torch::equal(before, weight));
        }
        before = weight;
        ++looks;
      });
  EXPECT_EQ(looks, 6);
}

TEST(ModelPruning, LogsTheShareThatIsPruned) {
  TemporaryFolder folder;
  Classifier model;
  PointsModule data(24, {.batch_size = 8});
  Trainer trainer(short_fit(folder, 2));
  const auto& pruning = trainer.add<ModelPruning>({.amount = 0.5});
  const History history = trainer.fit(model, data);
  EXPECT_DOUBLE_EQ(history.epochs.at(0).metrics.at("sparsity"), 0.5);
  EXPECT_DOUBLE_EQ(pruning.sparsity(), 0.75);
}

TEST(ModelPruning, RefusesWhatCannotBePruned) {
  EXPECT_THROW(ModelPruning({.amount = 0.0}), ConfigError);
  EXPECT_THROW(ModelPruning({.amount = 1.5}), ConfigError);
  EXPECT_THROW(ModelPruning({.every_n_epochs = 0}), ConfigError);
  EXPECT_THROW(fit({.parameters = {"hiden.weight"}}, 1), ConfigError);
}

}  // namespace levin::test::model_pruning_test
