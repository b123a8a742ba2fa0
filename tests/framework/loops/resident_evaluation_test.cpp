#include "framework/support.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <tuple>
#include <vector>

#include <levin/framework/run/callback.h>
#include <levin/framework/tensor/device.h>

// Validation, test and prediction from data that live on the device: what is computed and what
// hooks get is the same as from batches that are copied there.

namespace levin::resident_evaluation_test {

std::vector<int64_t> rows_from(int64_t first, int64_t count) {
  std::vector<int64_t> rows(static_cast<size_t>(count));
  std::iota(rows.begin(), rows.end(), first);
  return rows;
}

/// Loaders of all stages over parts of the same bytes.
class Parts : public DataModule {
 public:
  Parts() {
    torch::manual_seed(4);
    whole = std::make_shared<TensorDataset>(torch::randint(256, {90, 4}, torch::kByte),
                                            torch::randint(3, {90}, torch::kLong));
    whole->set_scale("input", {.scale = 0.01F, .zero_point = 100.0F});
    val_ = std::make_shared<Subset>(whole, rows_from(60, 30));
  }
  DataLoaders train_dataloader() override {
    return DataLoader(std::make_shared<Subset>(whole, rows_from(0, 60)),
                      {.batch_size = 10, .shuffle = true, .seed = 3});
  }
  DataLoaders val_dataloader() override {
    const auto some = std::make_shared<Subset>(val_, std::vector<int64_t>{9, 3, 3, 20, 0, 29, 1});
    return {DataLoader(val_, {.batch_size = 8, .num_workers = 1}),
            DataLoader(some, {.batch_size = 3})};
  }
  DataLoaders test_dataloader() override { return DataLoader(whole, {.batch_size = 7}); }
  DataLoaders predict_dataloader() override { return test_dataloader(); }
  std::shared_ptr<TensorDataset> whole;

 private:
  std::shared_ptr<const Dataset> val_;
};

/// A classifier that changes its batches, which are its own.
class Model : public test::Classifier {
 public:
  void validation_step(const Batch& batch, Step& step) override {
    batch.input().mul_(0.5);
    Classifier::validation_step(batch, step);
  }
  NamedTensors predict_step(const Batch& batch, Step&) override {
    return {{"logits", forward(batch.input().mul_(0.5))}, {"target", batch.target()}};
  }
};

/// Keeps what the hooks get, and notes whether the data lived on `device` by then.
class Seen : public Callback {
 public:
  struct Options {
    const Parts* data = nullptr;
    at::Device device = at::kCPU;
  };
  explicit Seen(Options options) : options_(options) {}
  std::string state_key() const override { return "Seen"; }
  void on_validation_batch_start(const Batch& batch, Step& step) override { see(batch, step); }
  void on_test_batch_start(const Batch& batch, Step& step) override { see(batch, step); }
  void on_predict_batch_start(const Batch& batch, Step& step) override { see(batch, step); }

  struct Values {
    std::vector<int64_t> row_ids;
    int64_t loader_index, batch_index;
    Stage stage;
    torch::Tensor input, target;
  };
  std::vector<Values> batches;
  std::vector<bool> lived_there;

 private:
  void see(const Batch& batch, Step& step) {
    batches.push_back({batch.row_ids(), batch.loader_index(), step.batch_index(), step.stage(),
                       batch.input().clone(), batch.target().clone()});
    lived_there.push_back(options_.data->whole->on(options_.device).use_count() > 1);
  }
  Options options_;
};

struct Outcome {
  std::vector<Seen::Values> batches;
  std::vector<bool> lived_there;
  MetricMap metrics;
  NamedTensors predictions;
};

enum class What { fit, validate, test, predict };

Outcome run(What what, const char* accelerator, const char* data_on_device,
            const CountOrFraction& limit = 1.0) {
  torch::manual_seed(2);
  Model model;
  Parts data;
  Trainer trainer({.accelerator = accelerator,
                   .max_epochs = 2,
                   .limit_test_batches = limit,
                   .num_sanity_val_steps = 2,
                   .data_on_device = data_on_device});
  const bool is_on_gpu = std::string(accelerator) == "gpu";
  const auto& seen =
      trainer.add<Seen>({&data, is_on_gpu ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU)});
  Outcome outcome;
  switch (what) {
    case What::fit:
      trainer.fit(model, data);
      outcome.metrics = trainer.run().metrics();
      break;
    case What::validate:
      outcome.metrics = trainer.validate(model, data);
      break;
    case What::test:
      outcome.metrics = trainer.test(model, data);
      break;
    case What::predict:
      outcome.predictions = trainer.predict(model, data);
      break;
  }
  outcome.batches = seen.batches;
  outcome.lived_there = seen.lived_there;
  return outcome;
}

void expect_same(const Outcome& a, const Outcome& b) {
  EXPECT_EQ(a.metrics, b.metrics);
  ASSERT_EQ(a.batches.size(), b.batches.size());
  for (size_t i = 0; i < a.batches.size(); ++i) {
    const auto& x = a.batches[i];
    const auto& y = b.batches[i];
    EXPECT_EQ(x.row_ids, y.row_ids);
    EXPECT_EQ(std::tuple(x.loader_index, x.batch_index, x.stage),
              std::tuple(y.loader_index, y.batch_index, y.stage));
    EXPECT_EQ(x.input.device(), y.input.device());
    EXPECT_TRUE(test::same_bits(x.input, y.input)) << i;
    EXPECT_TRUE(test::same_bits(x.target, y.target)) << i;
  }
  ASSERT_EQ(a.predictions.size(), b.predictions.size());
  for (size_t i = 0; i < a.predictions.size(); ++i) {
    EXPECT_TRUE(test::same_bits(a.predictions[i].second, b.predictions[i].second));
  }
}

/// The bits are the same; data that are only evaluated come to the device with the first batch, and
/// in a fit after those of the training.
void expect_the_same_from_data_on_the_device(const char* accelerator) {
  for (const What what : {What::fit, What::validate, What::test, What::predict}) {
    SCOPED_TRACE(static_cast<int>(what));
    const Outcome there = run(what, accelerator, "on");
    const Outcome here = run(what, accelerator, "off");
    expect_same(there, here);
    ASSERT_GT(there.batches.size(), 2U);
    for (size_t i = 0; i < there.batches.size(); ++i) {
      EXPECT_FALSE(here.lived_there[i]) << i;
      const bool is_sanity_check = there.batches[i].stage == Stage::sanity_check;
      EXPECT_EQ(there.lived_there[i], !is_sanity_check) << i;
    }
  }
}

TEST(ResidentEvaluation, gives_the_bits_of_batches_that_are_copied) {
  expect_the_same_from_data_on_the_device("cpu");
}

TEST(ResidentEvaluationCuda, gives_the_bits_of_batches_that_are_copied) {
  if (cuda_device_count() == 0) GTEST_SKIP() << "needs a GPU";
  expect_the_same_from_data_on_the_device("gpu");
}

// By default, data are copied as a whole only if a pass would copy as much anyway.
TEST(ResidentEvaluationCuda, of_a_small_part_leaves_the_data_where_they_are) {
  if (cuda_device_count() == 0) GTEST_SKIP() << "needs a GPU";
  const auto lived_there = [](What what, const CountOrFraction& limit) {
    return run(what, "gpu", "auto", limit).lived_there.back();
  };
  EXPECT_TRUE(lived_there(What::test, 1.0));
  EXPECT_FALSE(lived_there(What::test, int64_t{2}));
  EXPECT_TRUE(lived_there(What::predict, 1.0));
}

}  // namespace levin::resident_evaluation_test
