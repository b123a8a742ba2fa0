#pragma once

#include <torch/torch.h>

#include <cstring>
#include <memory>
#include <utility>

#include <levin/framework/data/datamodule.h>
#include <levin/framework/optimizers/all.h>
#include <levin/framework/run/module.h>
#include <levin/framework/trainer/trainer.h>

#include "framework/temporary_folder.h"

namespace levin::test {

/// Whether two tensors hold the same bits.
inline bool same_bits(const torch::Tensor& a, const torch::Tensor& b) {
  if (a.sizes() != b.sizes() || a.scalar_type() != b.scalar_type()) return false;
  const auto x = a.detach().cpu().contiguous();
  const auto y = b.detach().cpu().contiguous();
  return x.numel() == 0 || std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0;
}

/// Points of three classes around three centres, [rows, 4] and [rows].
struct Points {
  torch::Tensor input;
  torch::Tensor target;
};
inline Points make_points(int64_t rows, uint64_t seed = 1) {
  auto generator = at::detail::createCPUGenerator(seed);
  auto target = torch::randint(3, {rows}, generator, torch::kLong);
  auto noise = torch::randn({rows, 4}, generator);
  return {noise + 2.0 * torch::one_hot(target, 4).to(torch::kFloat), target};
}

/// Training and validation loaders made from given descriptions.
class PointsModule : public DataModule {
 public:
  explicit PointsModule(int64_t rows, DataLoaderOptions train, int64_t val_rows = 30)
      : train_(std::move(train)) {
    const auto points = make_points(rows);
    const auto val = make_points(val_rows, 2);
    train_data_ = std::make_shared<TensorDataset>(points.input, points.target);
    val_data_ = std::make_shared<TensorDataset>(val.input, val.target);
  }
  DataLoaders train_dataloader() override { return DataLoader(train_data_, train_); }
  DataLoaders val_dataloader() override { return DataLoader(val_data_, {.batch_size = 8}); }
  DataLoaders test_dataloader() override { return val_dataloader(); }
  DataLoaders predict_dataloader() override { return val_dataloader(); }
  const TensorDataset& train_data() const { return *train_data_; }
  const TensorDataset& val_data() const { return *val_data_; }

 private:
  DataLoaderOptions train_;
  std::shared_ptr<TensorDataset> train_data_;
  std::shared_ptr<TensorDataset> val_data_;
};

/// A linear classifier of the points; float32 unless told otherwise.
class Classifier : public Module {
 public:
  explicit Classifier(double dropout = 0.0)
      : hidden_(register_module("hidden", torch::nn::Linear(4, 16))),
        dropout_(register_module("dropout", torch::nn::Dropout(dropout))),
        output_(register_module("output", torch::nn::Linear(16, 3))) {}

  torch::Tensor forward(const torch::Tensor& x) {
    return output_(dropout_(torch::tanh(hidden_(x))));
  }
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    auto loss = torch::cross_entropy_loss(forward(batch.input()), batch.target());
    step.log("train_loss", loss, {.on_step = true, .on_epoch = true});
    return loss;
  }
  void validation_step(const Batch& batch, Step& step) override {
    auto logits = forward(batch.input());
    step.log("val_loss", torch::cross_entropy_loss(logits, batch.target()));
    step.log("val_acc", logits.argmax(1).eq(batch.target()).to(torch::kFloat).mean());
  }
  void test_step(const Batch& batch, Step& step) override {
    auto logits = forward(batch.input());
    step.log("test_acc", logits.argmax(1).eq(batch.target()).to(torch::kFloat).mean());
  }
  NamedTensors predict_step(const Batch& batch, Step&) override {
    return {{"class", forward(batch.input()).argmax(1)}};
  }
  Optimizers configure_optimizers() override { return Adam(parameters(), {.learning_rate = 1e-2}); }

 private:
  torch::nn::Linear hidden_;
  torch::nn::Dropout dropout_;
  torch::nn::Linear output_;
};

}  // namespace levin::test
