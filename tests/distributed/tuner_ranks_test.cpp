#include <fmt/format.h>
#include <torch/torch.h>

#include <new>

#include <levin/callbacks/batch_size_finder.h>
#include <levin/callbacks/learning_rate_finder.h>
#include <levin/framework/data/dataset.h>
#include <levin/framework/optimizers/sgd.h>
#include <levin/framework/run/step.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/trainer/trainer.h>

#include "distributed/rank_outcome.h"
#include "distributed/run_ranks.h"

// The searches for a learning rate and a batch size by several ranks, each of which sees other rows
// and has a memory of its own.

namespace levin::test::tuner_ranks_test {
namespace {

/// Fits two numbers to rows whose sizes differ, so that the loss of some
/// rows alone is another one than that of all.
class Numbers final : public levin::Module {
 public:
  Numbers() { register_parameter("numbers", numbers_); }
  torch::Tensor training_step(const levin::Batch& batch, levin::Step& step) override {
    if (batch.rows() > most_rows) throw std::bad_alloc();
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
  int64_t most_rows = 1000;

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
  const auto options = begin_as_rank(settings, /*max_epochs=*/1);
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
  leave_result(settings, result);
}

/// Rank r of w has memory for the r-th of "most_rows". "by" says who looks for the size.
void find_size(const Value& settings) {
  const auto options = begin_as_rank(settings, /*max_epochs=*/1);
  const char* rank = std::getenv("RANK");
  const auto& most_rows = settings.at("most_rows").as_array();
  Numbers model;
  model.most_rows = most_rows.at(rank == nullptr ? 0 : static_cast<size_t>(*rank - '0')).as_int();
  Rows data;
  const levin::ScaleBatchSizeOptions scale{
      .mode = "binsearch", .steps_per_trial = 1, .margin = 0.0};
  levin::StateDict result;
  if (settings.at("by").as_string() == "function") {
    result.values["size"] = levin::scale_batch_size(options, model, data, scale);
  } else {
    levin::Trainer trainer(options);
    auto& finder = trainer.add<levin::BatchSizeFinder>(scale);
    trainer.fit(model, data);
    result.values["size"] = finder.batch_size().value();
    result.add("model", model.state_dict());
  }
  leave_result(settings, result);
}

int find(const Value& settings) {
  try {
    settings.contains("most_rows") ? find_size(settings) : find_rate(settings);
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

using BatchSizeRanks = RanksTest;

TEST_F(BatchSizeRanks, find_the_largest_size_that_fits_on_each_of_them) {
  const auto found = [&](const char* by, const Value::Array& most_rows) {
    Value settings = Value::Object{{"by", by}, {"most_rows", most_rows}};
    const auto ranks = static_cast<int64_t>(most_rows.size());
    const auto name = fmt::format("{}-{}-{}", by, ranks, most_rows.back().as_int());
    const auto many = run_on(ranks, name, settings, find);
    for (int64_t rank = 1; rank < ranks; ++rank) {
      EXPECT_EQ(many.values(rank).at("size"), many.values().at("size"));
      EXPECT_EQ(difference(many.rank(rank), many.rank(0)), 0.0);
    }
    return many.values().at("size").as_int();
  };
  for (const char* by : {"function", "callback"}) {
    SCOPED_TRACE(by);
    EXPECT_EQ(found(by, {20, 7, 13}), 7);
    EXPECT_EQ(found(by, {9, 5}), 5);
    EXPECT_EQ(found(by, {5, 9}), 5);
    EXPECT_EQ(found(by, {1000, 1000}), 15) << "29 rows of two ranks";
  }
}

TEST_F(BatchSizeRanks, all_fail_if_not_even_a_row_fits_on_one_of_them) {
  const Value settings =
      Value::Object{{"by", "callback"}, {"most_rows", Value::Array{int64_t{0}, int64_t{9}}}};
  Value all = this->settings("none", settings);
  all["trainer"]["devices"] = 2;
  const auto failed = wait_all(fork_ranks(2, all, find), all);
  EXPECT_EQ(failed.status, 1);
  EXPECT_NE(failed.err.find("bad_alloc"), std::string::npos) << failed.err;
}

}  // namespace levin::test::tuner_ranks_test
