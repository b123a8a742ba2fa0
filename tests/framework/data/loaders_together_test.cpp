#include "framework/message_of.h"
#include "framework/support.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>

#include <levin/framework/core/error.h>
#include <levin/framework/data/training_data.h>
#include <levin/framework/loggers/csv_logger.h>
#include <levin/framework/tensor/random.h>

// Several training loaders whose batches come together, and loaders that are asked for anew.

namespace levin::loaders_together_test {

using test::message_of;
using test::says;
using test::TemporaryFolder;

/// Rows whose input is `first` plus their number, [rows, 1].
std::shared_ptr<const Dataset> numbers(int64_t rows, int64_t first = 0) {
  const auto values = torch::arange(first, first + rows);
  return std::make_shared<TensorDataset>(values.to(torch::kFloat).view({rows, 1}), values % 2);
}

/// Loaders "a" of 5 rows in 3 batches and "b" of 7 rows, from 100 on, in 7 batches.
DataLoaders a_and_b(LoaderMode mode, bool shuffle = false, int64_t workers = 0) {
  return DataLoaders::together(
      {{"a", DataLoader(numbers(5), {.batch_size = 2, .shuffle = shuffle, .num_workers = workers})},
       {"b", DataLoader(numbers(7, 100), {.batch_size = 1, .shuffle = shuffle})}},
      mode);
}

/// The inputs of a step: those of "a", then those of "b", as one text.
std::string inputs_of(const Batch& batch) {
  std::string text;
  for (const char* name : {"a", "b"}) {
    text += text.empty() ? "" : " | ";
    if (!batch.has_part(name)) {
      text += "-";
      continue;
    }
    const auto input = batch.part(name).input();
    for (int64_t i = 0; i < input.size(0); ++i) {
      text += std::to_string(input[i][0].item<int64_t>()) + (i + 1 < input.size(0) ? " " : "");
    }
  }
  return text;
}

std::vector<std::string> epoch_of(TrainingData& data, int64_t epoch, int64_t position = 0) {
  data.seek(epoch, position);
  std::vector<std::string> steps;
  for (Batch batch; data.next(batch);) steps.push_back(inputs_of(batch));
  EXPECT_TRUE(data.at_end());
  return steps;
}

using Steps = std::vector<std::string>;

TEST(LoadersTogether, min_size_ends_with_the_shortest) {
  TrainingData data(a_and_b(LoaderMode::min_size), {}, {});
  EXPECT_EQ(epoch_of(data, 0), (Steps{"0 1 | 100", "2 3 | 101", "4 | 102"}));
  EXPECT_EQ(TrainingData::size(a_and_b(LoaderMode::min_size), {}), 3);
}

TEST(LoadersTogether, max_size_goes_on_without_those_that_have_ended) {
  TrainingData data(a_and_b(LoaderMode::max_size), {}, {});
  EXPECT_EQ(epoch_of(data, 0), (Steps{"0 1 | 100", "2 3 | 101", "4 | 102", "- | 103", "- | 104",
                                      "- | 105", "- | 106"}));
  EXPECT_EQ(TrainingData::size(a_and_b(LoaderMode::max_size), {}), 7);
}

TEST(LoadersTogether, max_size_cycle_begins_those_that_have_ended_again) {
  TrainingData data(a_and_b(LoaderMode::max_size_cycle), {}, {});
  const Steps expected{"0 1 | 100", "2 3 | 101", "4 | 102",  "0 1 | 103",
                       "2 3 | 104", "4 | 105",   "0 1 | 106"};
  EXPECT_EQ(epoch_of(data, 0), expected);
  EXPECT_EQ(epoch_of(data, 1), expected);
}

TEST(LoadersTogether, sequential_ones_have_names_and_plain_batches) {
  const auto loaders = a_and_b(LoaderMode::sequential);
  EXPECT_EQ(loaders.names(), (std::vector<std::string>{"a", "b"}));
  TrainingData data(loaders, {}, {});
  data.seek(0, 0);
  Batch batch;
  ASSERT_TRUE(data.next(batch));
  EXPECT_EQ(batch.input().sizes(), (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(TrainingData::size(loaders, {}), 10);
}

TEST(LoadersTogether, the_first_part_gives_rows_ids_and_the_input) {
  TrainingData data(a_and_b(LoaderMode::max_size), {}, {});
  data.seek(0, 2);
  Batch batch;
  ASSERT_TRUE(data.next(batch));
  EXPECT_EQ(batch.rows(), 1);
  EXPECT_EQ(data.global_rows(), 1);
  EXPECT_EQ(batch.row_ids(), std::vector<int64_t>{4});
  EXPECT_EQ(batch.part("a").row_ids(), std::vector<int64_t>{4});
  EXPECT_TRUE(batch.part("b").row_ids().empty());
  EXPECT_EQ(batch.input().item<float>(), 4.0F);
  EXPECT_EQ(batch["b/target"].item<int64_t>(), 0);
  ASSERT_TRUE(data.next(batch));
  EXPECT_EQ(batch.input().item<float>(), 103.0F) << "the first that hasn't ended";
  EXPECT_EQ(batch.row_ids(), std::vector<int64_t>{3});
  EXPECT_TRUE(says(message_of<DataError>([&] { batch.part("a"); }), {"a/...", "b/input"}));
}

TEST(LoadersTogether, each_pass_of_a_cycle_has_an_order_of_its_own_wherever_it_is_entered) {
  for (const int64_t workers : {0, 2}) {
    TrainingData whole(a_and_b(LoaderMode::max_size_cycle, /*shuffle=*/true, workers), {}, {});
    std::set<Steps> passes;
    for (const int64_t epoch : {0, 1}) {
      const auto steps = epoch_of(whole, epoch);
      for (size_t pass = 0; pass < 2; ++pass) {
        Steps own;
        for (size_t i = 3 * pass; i < 3 * pass + 3; ++i) {
          own.push_back(steps[i].substr(0, steps[i].find(" |")));
        }
        passes.insert(own);
      }
      for (int64_t position = 0; position <= 7; ++position) {
        TrainingData other(a_and_b(LoaderMode::max_size_cycle, true, workers), {}, {});
        EXPECT_EQ(epoch_of(other, epoch, position), Steps(steps.begin() + position, steps.end()));
      }
    }
    EXPECT_GE(passes.size(), 3U) << "four passes over five rows";
  }
}

TEST(LoadersTogether, ranks_have_the_rows_of_one_process) {
  const DataLoaders global = DataLoaders::together(
      {{"a", DataLoader(numbers(4), {.global_batch_size = 2, .shuffle = true})},
       {"b", DataLoader(numbers(7, 100),
                        {.global_batch_size = 2, .shuffle = true, .drop_last = true})}});
  TrainingData one(global, {}, {});
  TrainingData first(global, {.rank = 0, .world_size = 2}, {});
  TrainingData second(global, {.rank = 1, .world_size = 2}, {});
  const auto steps = epoch_of(one, 1);
  const auto a = epoch_of(first, 1);
  const auto b = epoch_of(second, 1);
  ASSERT_EQ(a.size(), steps.size());
  ASSERT_EQ(b.size(), steps.size());
  std::multiset<char> expected;
  std::multiset<char> found;
  for (size_t i = 0; i < steps.size(); ++i) {
    expected.insert(steps[i].begin(), steps[i].end());
    found.insert(a[i].begin(), a[i].end());
    found.insert(b[i].begin(), b[i].end());
  }
  for (const char digit : {'0', '1', '2', '3', '4', '5', '6'}) {
    EXPECT_EQ(found.count(digit), expected.count(digit)) << digit;
  }
}

// Rows that each rank has its own of are shared as ever: only where they can't be, each has all.
TEST(LoadersTogether, ranks_have_all_rows_of_a_part_only_where_it_does_not_divide) {
  const auto loaders =
      DataLoaders::together({{"a", DataLoader(numbers(6), {.global_batch_size = 2})},
                             {"b", DataLoader(numbers(5, 100), {.global_batch_size = 2})}});
  TrainingData first(loaders, {.rank = 0, .world_size = 2}, {});
  TrainingData second(loaders, {.rank = 1, .world_size = 2}, {});
  EXPECT_EQ(epoch_of(first, 0), (Steps{"0 | 100", "2 | 102", "4 | 104"}));
  EXPECT_EQ(epoch_of(second, 0), (Steps{"1 | 101", "3 | 103", "5 | 104"}));
}

TEST(LoadersTogether, what_cannot_be_read_together_is_refused) {
  const DataLoader loader(numbers(3), {.batch_size = 2});
  const auto refusal = [&](std::vector<std::pair<std::string, DataLoader>> loaders) {
    return message_of<ConfigError>([&] { DataLoaders::together(std::move(loaders)); });
  };
  EXPECT_TRUE(says(refusal({}), {"at least one loader"}));
  EXPECT_TRUE(says(refusal({{"a", loader}, {"a", loader}}), {"differ from each other"}));
  EXPECT_TRUE(says(refusal({{"a/b", loader}}), {"slash"}));
  const auto loaders = DataLoaders::together(
      {{"a", loader}, {"b", DataLoader(numbers(3), {.batch_size = 4, .drop_last = true})}});
  EXPECT_TRUE(says(message_of<DataError>([&] { TrainingData(loaders, {}, {}); }),
                   {"the loader b", "no full batch", "drop_last = false"}));
}

// --- through a Trainer ---------------------------------------------------------------------------

/// Fits a number to the inputs of both parts; keeps what steps got.
class Together : public Module {
 public:
  Together() { register_parameter("weight", weight_); }
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    seen.push_back(inputs_of(batch));
    auto loss = torch::zeros({});
    for (const char* name : {"a", "b"}) {
      if (!batch.has_part(name)) continue;
      const auto noise = torch::rand({});
      loss = loss + (batch.part(name).input() - weight_ * noise).square().mean();
    }
    step.log("train_loss", loss);
    return loss;
  }
  void validation_step(const Batch& batch, Step& step) override {
    step.log("val_loss", (batch.input() - weight_).square().mean());
  }
  Optimizers configure_optimizers() override { return SGD(parameters(), {.learning_rate = 0.01}); }
  torch::Tensor weight_ = torch::ones({1}, torch::requires_grad());
  Steps seen;
};

/// Trains on loaders that may differ from epoch to epoch; remembers for which it was asked.
class Asked : public DataModule {
 public:
  std::function<DataLoaders(int64_t epoch)> train;
  DataLoaders train_dataloader() override {
    asked.push_back(loader_epoch());
    return train(loader_epoch());
  }
  DataLoaders val_dataloader() override {
    return DataLoader(numbers(2 + loader_epoch()), {.batch_size = 4});
  }
  std::vector<int64_t> asked;
};

TrainerOptions on_cpu(TrainerOptions options) {
  options.accelerator = "cpu";
  options.num_sanity_val_steps = 0;
  options.log_every_n_steps = 1;
  return options;
}

struct Ended {
  Steps seen;
  torch::Tensor weight;
  std::string metrics;
  std::vector<int64_t> asked;
};

/// Trains in `root`, from `checkpoint` if one is given, and saves a checkpoint at the end.
Ended train(const std::string& root, Asked data, TrainerOptions options,
            const std::string& checkpoint = "") {
  seed_everything(checkpoint.empty() ? 5 : 77);
  Together model;
  options.default_root_dir = root;
  Trainer trainer(on_cpu(options));
  trainer.add_logger<CsvLogger>();
  trainer.fit(model, data, checkpoint);
  const auto folder = trainer.run().log_dir();
  trainer.save_checkpoint(folder / "checkpoints/end.ckpt");
  return {model.seen, model.weight_.detach().clone(), test::read_file(folder / "metrics.csv"),
          data.asked};
}

/// Stops after `stop` steps, resumes, and compares with a run that went through.
Ended expect_same_bits(const Asked& data, TrainerOptions options, int64_t stop) {
  const TemporaryFolder whole_folder;
  const TemporaryFolder folder;
  const auto whole = train(whole_folder.string(), data, options);
  auto short_options = options;
  short_options.max_steps = stop;
  train(folder.string(), data, short_options);
  const auto resumed =
      train(folder.string(), data, options, folder / "levin_logs/version_0/checkpoints/end.ckpt");
  EXPECT_TRUE(test::same_bits(whole.weight, resumed.weight));
  EXPECT_EQ(resumed.metrics, whole.metrics);
  EXPECT_EQ(resumed.seen, Steps(whole.seen.begin() + stop, whole.seen.end()));
  return resumed;
}

TEST(LoadersTogether, a_fit_resumes_within_an_epoch_with_the_same_bits) {
  for (const auto mode : {LoaderMode::min_size, LoaderMode::max_size, LoaderMode::max_size_cycle}) {
    SCOPED_TRACE(static_cast<int>(mode));
    Asked data;
    data.train = [mode](int64_t) { return a_and_b(mode, /*shuffle=*/true); };
    const int64_t epoch = mode == LoaderMode::min_size ? 3 : 7;
    expect_same_bits(data, {.max_epochs = 2}, epoch + 1);
  }
}

TEST(LoadersTogether, samplers_without_a_seed_resume_with_the_seed_of_the_run) {
  const std::vector<int64_t> labels{0, 0, 0, 0, 1, 1, 2};
  const std::vector<std::shared_ptr<const Sampler>> samplers{
      std::make_shared<StratifiedSampler>(labels),
      std::make_shared<WeightedSampler>(WeightedSampler::balancing(labels), 7)};
  for (const auto& sampler : samplers) {
    Asked data;
    data.train = [sampler](int64_t) {
      return DataLoaders::together(
          {{"a", DataLoader(numbers(7), {.batch_size = 2, .sampler = sampler})}});
    };
    expect_same_bits(data, {.max_epochs = 2}, 5);  // within the second epoch
  }
}

TEST(LoadersTogether, limits_and_overfit_batches_keep_the_parts) {
  Asked data;
  data.train = [](int64_t) { return a_and_b(LoaderMode::max_size_cycle, /*shuffle=*/true); };
  Together model;
  Trainer(on_cpu({.max_epochs = 1, .overfit_batches = 4})).fit(model, data);
  EXPECT_EQ(model.seen, (Steps{"0 1 | 100", "2 3 | 101", "4 | 102", "0 1 | 103"}));
}

TEST(LoadersTogether, evaluations_refuse_them) {
  Asked data;
  data.train = [](int64_t) { return a_and_b(LoaderMode::min_size); };
  struct Validated : Asked {
    DataLoaders val_dataloader() override { return a_and_b(LoaderMode::min_size); }
  } validated;
  validated.train = data.train;
  Together model;
  EXPECT_TRUE(says(message_of<ConfigError>([&] { Trainer(on_cpu({})).validate(model, validated); }),
                   {"loaders that are read together", "DataLoaders{a, b}"}));
}

// --- reload_dataloaders_every_n_epochs -----------------------------------------------------------

/// Epoch e has e + 1 batches of one row more than 10 e.
Asked growing() {
  Asked data;
  data.train = [](int64_t epoch) {
    return DataLoaders::together(
        {{"a", DataLoader(numbers(epoch + 1, 10 * epoch), {.shuffle = true})}});
  };
  return data;
}

TEST(ReloadedLoaders, are_asked_for_before_every_nth_epoch) {
  const TemporaryFolder folder;
  const auto every_second =
      train(folder.string(), growing(), {.max_epochs = 5, .reload_dataloaders_every_n_epochs = 2});
  EXPECT_EQ(every_second.asked, (std::vector<int64_t>{0, 2, 4}));
  EXPECT_EQ(every_second.seen.size(), 1U + 1U + 3U + 3U + 5U);
  const auto never = train(folder.string(), growing(), {.max_epochs = 3});
  EXPECT_EQ(never.asked, std::vector<int64_t>{0});
  EXPECT_EQ(never.seen, (Steps{"0 | -", "0 | -", "0 | -"}));
}

TEST(ReloadedLoaders, a_fit_resumes_with_those_of_its_epoch_and_ends_with_the_same_bits) {
  for (const int64_t stop : {1, 2, 4, 5, 8}) {  // at the end of an epoch, and within
    SCOPED_TRACE(stop);
    const auto resumed = expect_same_bits(
        growing(), {.max_epochs = 5, .reload_dataloaders_every_n_epochs = 2}, stop);
    EXPECT_EQ(resumed.asked.back(), 4);
    EXPECT_EQ(resumed.asked.front(), stop < 2 ? 0 : stop < 8 ? 2 : 4);
  }
}

}  // namespace levin::loaders_together_test
