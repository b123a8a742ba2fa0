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

/// The rows of a weight that are 0 in all their entries.
int64_t zero_slices(const torch::Tensor& weight, int64_t dim) {
  return weight.eq(0).all(1 - dim).sum().item<int64_t>();
}

TEST(ModelPruning, PrunesWholeSlicesWithTheSmallestNorm) {
  const ModelPruningOptions options{.pruning_fn = "ln_structured",
                                    .amount = 0.5,
                                    .use_global_unstructured = false,
                                    .pruning_dim = 0,
                                    .pruning_norm = 1.0,
                                    .parameters = {"hidden.weight"},
                                    .last_epoch = 0};
  torch::Tensor before;
  const auto [hidden, output] = fit(options, 1, [&](const Classifier& model, Step&) {
    before = model.named_parameters()["hidden.weight"].detach().clone();
  });
  EXPECT_EQ(zero_slices(hidden, 0), 8);
  EXPECT_EQ(zeros(hidden), 8 * 4) << "nothing else is pruned";
  const auto norms = before.abs().sum(1);
  const auto pruned = hidden.eq(0).all(1);
  EXPECT_LT(norms.masked_select(pruned).max().item<double>(),
            norms.masked_select(pruned.logical_not()).min().item<double>());
  ModelPruningOptions columns = options;
  columns.pruning_dim = 1;
  columns.amount = 1;
  columns.last_epoch = 1;
  EXPECT_EQ(zero_slices(fit(columns, 2).first, 1), 2) << "one of those that are left, twice";
}

TEST(ModelPruning, PrunesAtRandomAsTheSeedSays) {
  const ModelPruningOptions weights{.pruning_fn = "random_unstructured", .amount = 0.25};
  const auto [hidden, output] = fit(weights, 1);
  EXPECT_EQ(zeros(hidden) + zeros(output), (64 + 48) / 4);
  EXPECT_TRUE(torch::equal(fit(weights, 1).first, hidden)) << "the seed is the same";
  const auto all = torch::cat({hidden.flatten(), output.flatten()}).abs();
  EXPECT_LT(all.masked_select(all.gt(0)).min().item<double>(), 0.05) << "small ones are left";
  const auto [rows, other] = fit({.pruning_fn = "random_structured",
                                  .amount = 4,
                                  .use_global_unstructured = false,
                                  .pruning_dim = 0,
                                  .parameters = {"hidden.weight"}},
                                 1);
  EXPECT_EQ(zero_slices(rows, 0), 4);
}

TEST(ModelPruning, LotteryTicketsGoBackToTheirFirstValues) {
  seed_everything(1);
  const Classifier first;
  const auto [hidden, output] = fit({.amount = 0.5, .use_lottery_ticket_hypothesis = true}, 2);
  const auto begin = first.named_parameters()["hidden.weight"].detach();
  EXPECT_TRUE(torch::equal(hidden, begin * hidden.ne(0)));
  EXPECT_EQ(zeros(hidden) + zeros(output), 56 + 28);
}

TEST(ModelPruning, GoesOnWithTheSameBitsWhateverItsFunction) {
  for (const char* fn : {"random_unstructured", "random_structured", "ln_structured"}) {
    const bool is_structured = std::string(fn).ends_with("_structured");
    ModelPruningOptions options{.pruning_fn = fn,
                                .amount = 0.3,
                                .use_global_unstructured = !is_structured,
                                .use_lottery_ticket_hypothesis = true};
    if (is_structured) options.pruning_dim = 0;
    if (is_structured) options.pruning_norm = 2.0;
    const TemporaryFolder folder;
    PointsModule data(24, {.batch_size = 8});
    const auto fit_from = [&](const std::string& checkpoint) {
      seed_everything(checkpoint.empty() ? 1 : 9);
      Classifier model;
      Trainer trainer(short_fit(folder, 3));
      trainer.add<ModelPruning>(options);
      if (checkpoint.empty()) {
        trainer.add<LambdaCallback>(
            {.on_train_batch_end = [&](const torch::Tensor&, const Batch&, Step& step) {
              if (step.global_step() == 5) step.run().save(folder / "step.ckpt");
            }});
      }
      trainer.fit(model, data, checkpoint);
      return model.named_parameters()["hidden.weight"].detach().clone();
    };
    ::testing::internal::CaptureStderr();
    const auto whole = fit_from("");
    EXPECT_TRUE(same_bits(whole, fit_from((folder / "step.ckpt").string()))) << fn;
    ::testing::internal::GetCapturedStderr();
  }
}

TEST(ModelPruning, RefusesFunctionsThatDoNotFit) {
  const auto message = [](ModelPruningOptions options) {
    try {
      const ModelPruning pruning(std::move(options));
    } catch (const ConfigError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(message({.pruning_fn = "l1_structured"}).find("ln_structured"), std::string::npos);
  EXPECT_NE(message({.pruning_fn = "random_structured"}).find("use_global_unstructured"),
            std::string::npos);
  EXPECT_NE(message({.pruning_fn = "random_structured", .use_global_unstructured = false})
                .find("pruning_dim"),
            std::string::npos);
  EXPECT_NE(
      message({.pruning_fn = "ln_structured", .use_global_unstructured = false, .pruning_dim = 0})
          .find("pruning_norm"),
      std::string::npos);
  EXPECT_THROW(
      fit({.pruning_fn = "random_structured", .use_global_unstructured = false, .pruning_dim = 2},
          1),
      ConfigError);
}

TEST(ModelPruning, RefusesWhatCannotBePruned) {
  EXPECT_THROW(ModelPruning({.amount = 0.0}), ConfigError);
  EXPECT_THROW(ModelPruning({.amount = 1.5}), ConfigError);
  EXPECT_THROW(ModelPruning({.every_n_epochs = 0}), ConfigError);
  EXPECT_THROW(fit({.parameters = {"hiden.weight"}}, 1), ConfigError);
}

}  // namespace levin::test::model_pruning_test
