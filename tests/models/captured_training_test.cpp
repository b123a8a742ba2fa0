// Training steps captured in CUDA graphs, beside eager ones, with the data on the GPU and on the
// host.
#include "framework/support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include <fmt/format.h>

#include <levin/callbacks/gradient_accumulation_scheduler.h>
#include <levin/framework/loggers/csv_logger.h>
#include <levin/framework/run/callback.h>
#include <levin/framework/tensor/device.h>
#include <levin/framework/tensor/random.h>
#include <levin/models/logistic_regression.h>
#include <levin/models/mlp.h>

#ifdef LEVIN_HAS_CUDA_HEADERS
#include <c10/cuda/CUDAFunctions.h>
#endif

namespace levin::captured_training_test {

using test::PointsModule;

constexpr const char* kGpu = "gpu";

class CapturedTrainingCuda : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) GTEST_SKIP() << "needs a GPU";
  }
  test::TemporaryFolder folder_;
};

TrainerOptions on(const char* accelerator) {
  return {.accelerator = accelerator, .max_epochs = 4, .num_sanity_val_steps = 0};
}

DataLoaderOptions shuffled() { return {.batch_size = 10, .shuffle = true, .seed = 7}; }

void expect_same_bits(const StateDict& a, const StateDict& b) {
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (const auto& [name, tensor] : a.tensors) {
    EXPECT_TRUE(test::same_bits(tensor, b.tensor(name))) << name;
  }
}

#ifdef LEVIN_HAS_CUDA_HEADERS
/// Makes LibTorch throw if an operation waits for the GPU, in all steps of an epoch but the first
/// few and the last two.
class NoWaiting : public Callback {
 public:
  struct Options {
    int64_t batches = 0;
  };
  explicit NoWaiting(Options options) : batches_(options.batches) {}
  ~NoWaiting() override { allow(true); }
  std::string state_key() const override { return "NoWaiting"; }
  void on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) override {
    constexpr int64_t kWarmUp = 6;
    const bool is_steady = step.epoch() > 0 || step.batch_index() >= kWarmUp;
    allow(!is_steady || step.batch_index() + 2 >= batches_);
    steady_steps += is_steady ? 1 : 0;
  }
  int64_t steady_steps = 0;

 private:
  static void allow(bool allowed) {
    using Mode = c10::cuda::SyncDebugMode;
    c10::cuda::warning_state().set_sync_debug_mode(allowed ? Mode::L_DISABLED : Mode::L_ERROR);
  }
  int64_t batches_;
};

TEST_F(CapturedTrainingCuda, no_steady_step_waits_for_the_gpu) {
  for (const char* graph : {"auto", "off"}) {
    for (const char* data_on_device : {"auto", "off"}) {
      for (const int64_t accumulate : {1, 2}) {
        SCOPED_TRACE(testing::Message() << graph << " " << data_on_device << " " << accumulate);
        LogisticRegression model({.in_features = 4, .num_classes = 3, .l2_strength = 1e-3});
        PointsModule data(200, shuffled());
        auto options = on(kGpu);
        options.cuda_graph = graph;
        options.data_on_device = data_on_device;
        options.accumulate_grad_batches = accumulate;
        options.gradient_clip_val = 1.0;
        options.default_root_dir = folder_.string();
        options.log_every_n_steps = 3;
        Trainer trainer(options);
        trainer.add_logger<CsvLogger>();
        const auto& waiting = trainer.add<NoWaiting>({.batches = 20});
        trainer.fit(model, data);
        EXPECT_GT(waiting.steady_steps, 60);
      }
    }
  }
}
#endif

std::unique_ptr<Module> make_net() {
  return std::make_unique<MLP>(
      MLPOptions{.in_features = 4, .num_classes = 3, .hidden_sizes = {32, 16}, .dropout = 0.2});
}

// Captured steps give the bits of eager ones, for models with and without a closed form, dropout
// and schedules; so do data that live on the GPU and data that are copied there.
TEST_F(CapturedTrainingCuda, captured_steps_give_the_bits_of_eager_ones) {
  const auto train = [&](const char* graph, const char* data_on_device, bool is_net) {
    seed_everything(5);
    std::unique_ptr<Module> model;
    if (is_net) {
      model = make_net();
    } else {
      model = std::make_unique<LogisticRegression>(
          LogisticRegressionOptions{.in_features = 4, .num_classes = 3});
    }
    PointsModule data(203, shuffled());
    auto options = on(kGpu);
    options.cuda_graph = graph;
    options.data_on_device = data_on_device;
    options.gradient_clip_val = 0.5;
    Trainer trainer(options);
    const auto history = trainer.fit(*model, data);
    return std::pair(model->state_dict().clone(), history.values("val_loss"));
  };
  for (const bool is_net : {false, true}) {
    const auto expected = train("off", "off", is_net);
    for (const char* graph : {"on", "off"}) {
      for (const char* data_on_device : {"on", "off"}) {
        SCOPED_TRACE(testing::Message() << graph << " " << data_on_device << " " << is_net);
        const auto result = train(graph, data_on_device, is_net);
        expect_same_bits(result.first, expected.first);
        EXPECT_EQ(result.second, expected.second);
      }
    }
  }
}

/// Logs a value twice in each batch.
class LogsTwice : public LogisticRegression {
 public:
  using LogisticRegression::LogisticRegression;
  bool capturable() const override { return true; }
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    auto loss = LogisticRegression::training_step(batch, step);
    const auto plain = loss.detach().clone();
    step.log("twice", plain, {.on_step = true, .on_epoch = true});
    step.log("twice", plain + 1, {.on_step = true, .on_epoch = true});
    step.log("epoch", plain, {.on_step = false, .on_epoch = true});
    return loss;
  }
};

// Windows of accumulated batches are captured as a whole, also if their length changes, and the
// values that are logged in them are the same.
TEST_F(CapturedTrainingCuda, windows_of_batches_give_the_bits_of_eager_ones) {
  const auto train = [&](const char* graph, int64_t accumulate, bool is_net) {
    seed_everything(5);
    std::unique_ptr<Module> model;
    if (is_net) {
      model = make_net();
    } else {
      model = std::make_unique<LogsTwice>(
          LogisticRegressionOptions{.in_features = 4, .num_classes = 3});
    }
    PointsModule data(403, shuffled());
    auto options = on(kGpu);
    options.cuda_graph = graph;
    options.accumulate_grad_batches = accumulate;
    options.gradient_clip_val = 0.5;
    options.log_every_n_steps = 5;
    options.val_check_interval = 7;
    options.default_root_dir =
        (folder_.path() / fmt::format("{}-{}-{}", graph, accumulate, is_net)).string();
    Trainer trainer(options);
    trainer.add_logger<CsvLogger>();
    trainer.add<GradientAccumulationScheduler>(
        {.scheduling = fmt::format("0:{}, 2:{}", accumulate, accumulate + 1)});
    trainer.fit(*model, data);
    return std::pair(model->state_dict().clone(),
                     test::read_file(trainer.run().log_dir() / "metrics.csv"));
  };
  for (const bool is_net : {false, true}) {
    for (const int64_t accumulate : {1, 2, 7}) {
      SCOPED_TRACE(testing::Message() << accumulate << " " << is_net);
      const auto expected = train("off", accumulate, is_net);
      const auto captured = train("on", accumulate, is_net);
      expect_same_bits(captured.first, expected.first);
      EXPECT_EQ(captured.second, expected.second);
    }
  }
}

/// Changes the optimizer's settings between epochs, directly.
class Changes : public Callback {
 public:
  struct Options {};
  explicit Changes(Options) {}
  std::string state_key() const override { return "Changes"; }
  void on_train_epoch_end(Run& run) override {
    auto& group = run.optimizers().entries().front().optimizer->groups().front();
    group.learning_rate *= 0.5;
    group.weight_decay += 0.01;
  }
};

TEST_F(CapturedTrainingCuda, settings_that_change_between_steps_are_followed) {
  const auto train = [](const char* graph) {
    seed_everything(8);
    MLP model({.in_features = 4, .num_classes = 3, .hidden_sizes = {16}});
    PointsModule data(203, shuffled());
    auto options = on(kGpu);
    options.cuda_graph = graph;
    Trainer trainer(options);
    trainer.add<Changes>();
    trainer.fit(model, data);
    return model.state_dict().clone();
  };
  expect_same_bits(train("on"), train("off"));
}

TEST_F(CapturedTrainingCuda, a_captured_fit_resumes_with_the_same_bits) {
  const auto train = [](const std::string& path, int64_t max_steps, bool resumes) {
    seed_everything(6);
    MLP model({.in_features = 4, .num_classes = 3, .hidden_sizes = {16}, .dropout = 0.1});
    PointsModule data(203, shuffled());
    auto options = on(kGpu);
    options.max_steps = max_steps;
    options.cuda_graph = "on";
    Trainer trainer(options);
    trainer.fit(model, data, resumes ? path : std::string());
    trainer.save_checkpoint(path);
    return model.state_dict().clone();
  };
  const std::string path = (folder_.path() / "middle.ckpt").string();
  const StateDict whole = train((folder_.path() / "whole.ckpt").string(), 70, false);
  train(path, 33, false);
  expect_same_bits(train(path, 70, true), whole);
}

// Rows of steps are written a little later than their steps, with the values and in the order that
// they have on the CPU.
TEST_F(CapturedTrainingCuda, rows_of_steps_are_those_of_eager_steps) {
  const auto rows = [&](const char* graph) {
    seed_everything(2);
    LogisticRegression model({.in_features = 4, .num_classes = 3});
    PointsModule data(203, shuffled());
    auto options = on(kGpu);
    options.cuda_graph = graph;
    options.log_every_n_steps = 2;
    options.val_check_interval = 7;
    options.default_root_dir = (folder_.path() / graph).string();
    Trainer trainer(options);
    trainer.add_logger<CsvLogger>();
    trainer.fit(model, data);
    return test::read_file(trainer.run().log_dir() / "metrics.csv");
  };
  const auto expected = rows("off");
  EXPECT_EQ(std::count(expected.begin(), expected.end(), '\n'), 1 + 42 + 4 * 3);
  EXPECT_EQ(rows("on"), expected);
}

}  // namespace levin::captured_training_test
