#include <fmt/format.h>
#include <torch/torch.h>

#include <levin/callbacks/learning_rate_finder.h>
#include <levin/framework/data/dataset.h>
#include <levin/framework/optimizers/sgd.h>
#include <levin/framework/run/step.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/trainer/trainer.h>

#include "distributed/run_ranks.h"

// The search for a learning rate by several ranks, each of which sees other rows.

namespace levin::test::lr_find_ranks_test {
namespace {

/// Fits two numbers to rows whose sizes differ, so that the loss of some
/// rows alone is another one than that of all.
class Numbers final : public levin::Module {
 public:
  Numbers() { register_parameter("numbers", numbers_); }
  torch::Tensor training_step(const levin::Batch& batch, levin::Step& step) override {
    auto errors = (batch.input() * numbers_).sum(1) - batch.target();
    if (counts_some) {
      errors = errors.masked_select(batch.target() > 0);
      if (errors.size(0) == 0) return {};
      step.set_batch_size(errors.size(0));
    }
    return errors.square().mean();
  }
  levin::Optimizers configure_optimizers() override {
    return levin::SGD(parameters(), {.learning_rate = 0.01});
  }
  bool counts_some = false;  // rows that have a positive target

 private:
  torch::Tensor numbers_ = torch::ones({2}, torch::dtype(torch::kDouble).requires_grad(true));
};

class Rows final : public levin::DataModule {
 public:
  levin::DataLoaders train_dataloader() override {
    const auto generator = at::detail::createCPUGenerator(3);
    const auto scale = torch::pow(3.0, torch::arange(29) % 3 - 1.0).to(torch::kDouble);
    const auto x = torch::randn({29, 2}, generator, torch::kDouble) * scale.unsqueeze(1);
    const auto y = torch::randn({29}, generator, torch::kDouble) * scale;
    return levin::DataLoader(std::make_shared<levin::TensorDataset>(x, y),
                             {.global_batch_size = 7, .shuffle = true});  // 7, 7, 7, 7 and 1
  }
};

void find_rate(const Value& settings) {
  torch::set_num_threads(1);
  levin::seed_everything(7);
  levin::TrainerOptions options;
  levin::from_value(describe(options), settings.at("trainer"), "trainer");
  options.accelerator = "cpu";
  options.max_epochs = 1;
  options.default_root_dir = settings.at("out").as_string();
  Numbers model;
  model.counts_some = settings.at("counts_some").as_bool();
  Rows data;
  levin::Trainer trainer(options);
  auto& finder = trainer.add<levin::LearningRateFinder>(
      {.min_lr = 1e-4, .max_lr = 10.0, .num_training_steps = 60, .early_stop_threshold = 20.0});
  trainer.fit(model, data);
  levin::StateDict result;
  result.values["rate"] = finder.learning_rate().value();
  result.tensors["losses"] = torch::tensor(finder.found().losses, torch::kDouble);
  result.tensors["rates"] = torch::tensor(finder.found().rates, torch::kDouble);
  result.add("model", model.state_dict());
  const char* rank = std::getenv("RANK");
  levin::save_checkpoint(
      settings.at("out").as_string() + "/rank-" + (rank == nullptr ? "0" : rank) + ".ckpt", result);
}

int find(const Value& settings) {
  try {
    find_rate(settings);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

}  // namespace

using LrFindRanks = RanksTest;

TEST_F(LrFindRanks, go_by_the_rows_of_all_and_find_the_rate_of_one_process) {
  for (const bool counts_some : {false, true}) {
    SCOPED_TRACE(counts_some);
    const Value settings = Value::Object{{"counts_some", counts_some}};
    const auto one = run_on(1, fmt::format("one-{}", counts_some), settings, find).rank(0);
    const auto losses = one.tensor("losses");
    EXPECT_LT(losses.size(0), 60) << "the loss explodes";
    for (const int64_t ranks : {2, 3}) {
      SCOPED_TRACE(ranks);
      const auto many = run_on(ranks, fmt::format("{}-{}", ranks, counts_some), settings, find);
      for (int64_t rank = 0; rank < ranks; ++rank) {
        SCOPED_TRACE(rank);
        const auto found = many.rank(rank);
        EXPECT_EQ(found.values.at("rate"), one.values.at("rate"));
        ASSERT_EQ(found.tensor("losses").sizes(), losses.sizes());
        EXPECT_TRUE(torch::allclose(found.tensor("losses"), losses, 1e-9, 0.0));
        EXPECT_EQ(difference(found, many.rank(0)), 0.0);
        EXPECT_LE(difference(found.child("model"), one.child("model")), 1e-9);
      }
    }
  }
}

}  // namespace levin::test::lr_find_ranks_test
