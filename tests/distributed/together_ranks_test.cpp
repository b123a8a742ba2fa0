#include <fmt/format.h>
#include <torch/torch.h>

#include <levin/framework/data/dataset.h>
#include <levin/framework/optimizers/sgd.h>
#include <levin/framework/run/step.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/trainer/trainer.h>

#include "distributed/rank_outcome.h"
#include "distributed/run_ranks.h"

// Loaders that are read together, by ranks that can't divide all parts of a batch evenly.

namespace levin::test::together_ranks_test {
namespace {

/// A line through the points of "a", and one of the same slope through those of "b".
class TwoLines final : public levin::Module {
 public:
  TwoLines() : line_(register_module("line", torch::nn::Linear(3, 2))) {
    const torch::NoGradGuard no_grad;
    line_->to(torch::kDouble);
    for (auto& parameter : parameters()) {
      parameter.copy_(torch::linspace(-0.4, 0.5, parameter.numel()).view(parameter.sizes()));
    }
  }
  torch::Tensor training_step(const levin::Batch& batch, levin::Step& step) override {
    auto loss = torch::zeros({}, torch::kDouble);
    int64_t column = 0;
    for (const char* name : {"a", "b"}) {
      if (batch.has_part(name)) {
        const auto part = batch.part(name);
        const auto errors = line_(part.input()).select(1, column) - part.target();
        loss = loss + (errors.square() + errors.sin()).mean();
      }
      ++column;
    }
    step.log("train_loss", loss, {.on_step = false, .on_epoch = true});
    return loss;
  }
  levin::Optimizers configure_optimizers() override {
    return levin::SGD(parameters(), {.learning_rate = 0.05, .momentum = 0.9});
  }

 private:
  torch::nn::Linear line_;
};

/// {"a": [rows, rows in a step], "b": [...]}.
class TwoSets final : public levin::DataModule {
 public:
  explicit TwoSets(const Value& settings) : settings_(settings) {}
  levin::DataLoaders train_dataloader() override {
    const std::string mode = settings_.at("mode").as_string();
    return levin::DataLoaders::together({{"a", loader("a", 1)}, {"b", loader("b", 2)}},
                                        mode == "max_size"   ? levin::LoaderMode::max_size
                                        : mode == "min_size" ? levin::LoaderMode::min_size
                                                             : levin::LoaderMode::max_size_cycle);
  }

 private:
  levin::DataLoader loader(const char* name, uint64_t seed) const {
    const auto& sizes = settings_.at(name).as_array();
    const auto generator = at::detail::createCPUGenerator(seed);
    const auto x = torch::randn({sizes[0].as_int(), 3}, generator, torch::kDouble);
    const auto y = torch::randn({sizes[0].as_int()}, generator, torch::kDouble);
    return {std::make_shared<levin::TensorDataset>(x, y),
            {.global_batch_size = sizes[1].as_int(),
             .shuffle = true,
             .num_workers = settings_.at("workers").as_int()}};
  }

  Value settings_;
};

int fit_together(const Value& settings) {
  const auto options = begin_as_rank(settings, /*max_epochs=*/3);
  TwoLines model;
  TwoSets data(settings);
  levin::Trainer trainer(options);
  const auto history = trainer.fit(model, data);
  levin::StateDict result;
  result.values["loss"] = history.last("train_loss");
  result.values["steps"] = history.epochs.back().global_step;
  result.add("model", model.state_dict());
  leave_result(settings, result);
  return 0;
}

Value sizes(int64_t rows_a, int64_t step_a, int64_t rows_b, int64_t step_b) {
  return Value::Object{{"a", Value::Array{rows_a, step_a}}, {"b", Value::Array{rows_b, step_b}}};
}

}  // namespace

using TogetherRanks = RanksTest;

TEST_F(TogetherRanks, equal_one_process_however_the_parts_divide) {
  const struct {
    const char* mode;
    Value sizes;
    int64_t accumulate = 1;
  } cases[] = {
      {"max_size_cycle", sizes(24, 6, 31, 6)},     // a last batch of 1 row of "b"
      {"max_size_cycle", sizes(31, 6, 24, 6)},     // and of "a"
      {"max_size_cycle", sizes(23, 6, 29, 7), 2},  // no batch of "b" divides evenly
      {"max_size", sizes(13, 5, 40, 7)},           // later batches have "b" alone
      {"min_size", sizes(40, 7, 22, 5)},
  };
  int64_t number = 0;
  for (const auto& [mode, sizes, accumulate] : cases) {
    SCOPED_TRACE(::testing::Message() << mode << " " << sizes.to_json());
    Value settings = sizes;
    settings["mode"] = mode;
    settings["workers"] = number % 2;
    settings["trainer"]["accumulate_grad_batches"] = accumulate;
    const auto one = run_on(1, fmt::format("one-{}", number), settings, fit_together).rank(0);
    EXPECT_GT(one.values.at("loss").as_double(), 0.0);
    for (const int64_t ranks : {2, 4}) {
      SCOPED_TRACE(ranks);
      const auto many = run_on(ranks, fmt::format("{}-{}", ranks, number), settings, fit_together);
      for (int64_t rank = 0; rank < ranks; ++rank) {
        EXPECT_LE(difference(many.rank(rank).child("model"), one.child("model")), 1e-12);
        EXPECT_NEAR(many.values(rank).at("loss").as_double(), one.values.at("loss").as_double(),
                    1e-12);
        EXPECT_EQ(many.values(rank).at("steps"), one.values.at("steps"));
      }
    }
    ++number;
  }
}

}  // namespace levin::test::together_ranks_test
