#include "framework/support.h"

#include <gtest/gtest.h>

#include <levin/framework/loggers/csv_logger.h>
#include <levin/framework/tensor/device.h>
#include <levin/framework/tensor/random.h>

// Training on a GPU: near the CPU's result, from data wherever they live, and resumable.

namespace levin::cuda_training_test {

using test::PointsModule;
using test::TemporaryFolder;

constexpr const char* kGpu = "gpu";

class TrainingCuda : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) GTEST_SKIP() << "needs a GPU";
  }
  at::Device gpu() const { return at::Device(at::kCUDA, 0); }
  TemporaryFolder folder_;
};

/// Multinomial logistic regression of the points, which also looks at where it works.
class Linear : public Module {
 public:
  Linear() : linear_(register_module("linear", torch::nn::Linear(4, 3))) {}
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    devices_agree = devices_agree && batch.input().device() == linear_->weight.device() &&
                    batch.target().device() == linear_->weight.device();
    auto loss = torch::cross_entropy_loss(linear_(batch.input()), batch.target());
    step.log("train_loss", loss);
    return loss;
  }
  void validation_step(const Batch& batch, Step& step) override {
    step.log("val_loss", torch::cross_entropy_loss(linear_(batch.input()), batch.target()));
  }
  void test_step(const Batch& batch, Step& step) override {
    const auto logits = linear_(batch.input());
    step.log("test_loss", torch::cross_entropy_loss(logits, batch.target()));
    step.log("test_acc", logits.argmax(1).eq(batch.target()).to(torch::kFloat).mean());
  }
  NamedTensors predict_step(const Batch& batch, Step&) override {
    return {{"probability", linear_(batch.input()).softmax(1)}};
  }
  Optimizers configure_optimizers() override { return SGD(parameters(), {.learning_rate = 0.1}); }
  torch::Device device() const { return linear_->weight.device(); }
  bool devices_agree = true;

 private:
  torch::nn::Linear linear_;
};

TrainerOptions on(const char* accelerator) {
  return {.accelerator = accelerator, .max_epochs = 4, .num_sanity_val_steps = 0};
}

DataLoaderOptions shuffled(int64_t workers = 0, bool pinned = false) {
  return {
      .batch_size = 10, .shuffle = true, .num_workers = workers, .pin_memory = pinned, .seed = 7};
}

void expect_near(const StateDict& a, const StateDict& b, double tolerance) {
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (const auto& [name, tensor] : a.tensors) {
    const auto other = b.tensor(name).to(torch::kCPU);
    const double difference = (tensor.to(torch::kCPU) - other).abs().max().item<double>();
    EXPECT_LT(difference, tolerance) << name;
  }
}

void expect_same_bits(const StateDict& a, const StateDict& b) {
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (const auto& [name, tensor] : a.tensors) {
    EXPECT_TRUE(test::same_bits(tensor, b.tensor(name))) << name;
  }
}

/// A training loader of `made`, and the usual validation and test data.
class Data : public PointsModule {
 public:
  explicit Data(DataLoaders train) : PointsModule(8, {.batch_size = 8}), train_(std::move(train)) {}
  DataLoaders train_dataloader() override { return train_; }

 private:
  DataLoaders train_;
};

DataLoader loader(const torch::Tensor& input, const torch::Tensor& target,
                  const DataLoaderOptions& options = shuffled()) {
  return {std::make_shared<TensorDataset>(input, target), options};
}

// Rows 20 and 29: one GPU, picked by options alone; fit, test and predict agree with the CPU.
TEST_F(TrainingCuda, logistic_regression_comes_near_the_cpus_result) {
  struct Result {
    StateDict weights;
    MetricMap metrics;
    torch::Tensor probability;
    double train_loss;
  };
  const auto train = [](const char* accelerator) {
    seed_everything(1);
    Linear model;
    PointsModule data(95, shuffled());
    Trainer trainer(on(accelerator));
    const double loss = trainer.fit(model, data).last("train_loss");
    EXPECT_EQ(model.device().is_cuda(), std::string(accelerator) == kGpu);
    EXPECT_TRUE(model.devices_agree);
    const auto metrics = trainer.test(model, data);
    const auto outputs = trainer.predict(model, data);
    EXPECT_TRUE(outputs.at(0).second.is_cpu());
    return Result{model.state_dict().clone(), metrics, outputs.at(0).second, loss};
  };
  const Result there = train(kGpu);
  const Result here = train("cpu");
  expect_near(there.weights, here.weights, 1e-5);
  EXPECT_NEAR(there.train_loss, here.train_loss, 1e-5);
  EXPECT_NEAR(there.metrics.at("test_loss"), here.metrics.at("test_loss"), 1e-5);
  EXPECT_NEAR(there.metrics.at("test_acc"), here.metrics.at("test_acc"), 1e-6);
  EXPECT_LT((there.probability - here.probability).abs().max().item<double>(), 1e-5);
}

TEST_F(TrainingCuda, a_net_with_adam_comes_near_the_cpus_result) {
  const auto train = [](const char* accelerator, StateDict& weights) {
    seed_everything(1);
    test::Classifier model;
    PointsModule data(95, shuffled());
    auto options = on(accelerator);
    options.accumulate_grad_batches = 2;
    options.gradient_clip_val = 1.0;
    const History history = Trainer(options).fit(model, data);
    weights = model.state_dict().clone();
    return history;
  };
  StateDict there;
  StateDict here;
  const History on_gpu = train(kGpu, there);
  const History on_cpu = train("cpu", here);
  expect_near(there, here, 1e-3);
  for (const char* metric : {"train_loss_epoch", "val_loss"}) {
    const auto a = on_gpu.values(metric);
    const auto b = on_cpu.values(metric);
    ASSERT_EQ(a.size(), 4U);
    for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-4) << metric << " " << i;
  }
}

// Row 29: a loader that yields batches on the device; it doesn't matter where the data live.
TEST_F(TrainingCuda, data_here_there_and_half_and_half_train_to_the_same_bits) {
  const auto points = test::make_points(95);
  const auto there = [&](const torch::Tensor& tensor) { return tensor.to(gpu()); };
  const auto train = [](DataLoaders loaders) {
    seed_everything(1);
    Linear model;
    Data data(std::move(loaders));
    Trainer(on(kGpu)).fit(model, data);
    EXPECT_TRUE(model.devices_agree);
    return model.state_dict().clone();
  };
  const StateDict expected = train(loader(points.input, points.target));
  expect_same_bits(train(loader(points.input, points.target, shuffled(2))), expected);
  expect_same_bits(train(loader(points.input, points.target, shuffled(0, true))), expected);
  expect_same_bits(train(loader(points.input, points.target, shuffled(2, true))), expected);
  expect_same_bits(train(loader(there(points.input), there(points.target))), expected);
  expect_same_bits(train(loader(there(points.input), there(points.target), shuffled(2))), expected);
  expect_same_bits(train(loader(there(points.input), points.target)), expected);
  expect_same_bits(train(loader(points.input, there(points.target), shuffled(2))), expected);
}

TEST_F(TrainingCuda, loaders_of_data_here_and_there_take_turns) {
  const auto a = test::make_points(40, 1);
  const auto b = test::make_points(30, 2);
  const auto train = [](const char* accelerator, DataLoaders loaders) {
    seed_everything(1);
    Linear model;
    Data data(std::move(loaders));
    Trainer trainer(on(accelerator));
    trainer.fit(model, data);
    EXPECT_EQ(trainer.run().global_step(), 4 * 7);
    return model.state_dict().clone();
  };
  const StateDict mixed = train(kGpu, {loader(a.input, a.target, shuffled(2, true)),
                                       loader(b.input.to(gpu()), b.target.to(gpu()))});
  const StateDict here = train("cpu", {loader(a.input, a.target), loader(b.input, b.target)});
  expect_near(mixed, here, 1e-5);
}

/// Dropout (the GPU's generator), Adam and a schedule by steps.
class Dropping : public test::Classifier {
 public:
  Dropping() : Classifier(/*dropout=*/0.3) {}
  Optimizers configure_optimizers() override {
    return {Adam(parameters(), {.learning_rate = 1e-2}),
            StepLR({.step_size = 3, .gamma = 0.7}),
            {.interval = Interval::step}};
  }
};

// Row 34 in part: what it takes to go on with a run.
TEST_F(TrainingCuda, resuming_in_mid_epoch_ends_with_the_same_bits) {
  struct Result {
    StateDict weights;
    std::string metrics;
  };
  const auto train = [](const std::string& root, int64_t max_steps, const std::string& checkpoint) {
    seed_everything(checkpoint.empty() ? 3 : 99);
    Dropping model;
    PointsModule data(95, shuffled(/*workers=*/2, /*pinned=*/true));
    auto options = on(kGpu);
    options.max_steps = max_steps;
    options.log_every_n_steps = 1;
    options.accumulate_grad_batches = 2;
    options.default_root_dir = root;
    Trainer trainer(options);
    trainer.add_logger<CsvLogger>();
    trainer.fit(model, data, checkpoint);
    const auto run_folder = trainer.run().log_dir();
    trainer.save_checkpoint(run_folder / "checkpoints/end.ckpt");
    return Result{model.state_dict().clone(), test::read_file(run_folder / "metrics.csv")};
  };
  const TemporaryFolder whole_folder;
  const Result whole = train(whole_folder.string(), -1, "");
  train(folder_.string(), 7, "");
  const Result resumed =
      train(folder_.string(), -1,
            (folder_.path() / "levin_logs/version_0/checkpoints/end.ckpt").string());
  expect_same_bits(resumed.weights, whole.weights);
  EXPECT_EQ(resumed.metrics, whole.metrics);
}

// Row 20: a checkpoint written on one kind of device is used on the other.
TEST_F(TrainingCuda, a_checkpoint_goes_from_the_gpu_to_the_cpu_and_back) {
  const std::string path = (folder_.path() / "gpu.ckpt").string();
  Linear model;
  PointsModule data(95, shuffled());
  Trainer trainer(on(kGpu));
  trainer.fit(model, data);
  trainer.save_checkpoint(path);
  const auto expected = trainer.test(model, data);
  Linear here;
  EXPECT_NEAR(Trainer(on("cpu")).test(here, data, path).at("test_loss"), expected.at("test_loss"),
              1e-6);
  EXPECT_TRUE(here.device().is_cpu());
  auto longer = on("cpu");
  longer.max_epochs = 6;
  Trainer going_on(longer);
  Linear again;
  EXPECT_EQ(going_on.fit(again, data, path).epochs.size(), 6U);
  going_on.save_checkpoint(path);
  longer.accelerator = kGpu;
  longer.max_epochs = 8;
  Linear back;
  EXPECT_EQ(Trainer(longer).fit(back, data, path).epochs.size(), 8U);
  EXPECT_TRUE(back.device().is_cuda());
}

}  // namespace levin::cuda_training_test
