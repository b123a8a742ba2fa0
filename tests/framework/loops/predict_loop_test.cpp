#include "framework/support.h"

#include <gtest/gtest.h>

#include <levin/framework/run/callback.h>
#include <levin/framework/tensor/device.h>

// What predict returns, wherever the module's outputs lie.

namespace levin::predict_loop_test {

using test::PointsModule;

/// Writes the outputs of each batch into the same memory, and gives views of it.
class Reusing : public test::Classifier {
 public:
  NamedTensors predict_step(const Batch& batch, Step&) override {
    const auto logits = forward(batch.input());
    if (!buffer_.defined()) buffer_ = torch::empty({2, 8, 3}, logits.options());
    auto part = buffer_[1].narrow(0, 0, logits.size(0));
    part.copy_(logits);
    return {{"logits", part}, {"again", part}, {"first", part.select(1, 0)}, {"new", logits}};
  }

 private:
  torch::Tensor buffer_;
};

/// Sums what the hook gets, and notes where it lies.
class Watching : public Callback {
 public:
  struct Options {};
  explicit Watching(Options) {}
  std::string state_key() const override { return "Watching"; }
  void on_predict_batch_end(const NamedTensors& outputs, const Batch& batch, Step&) override {
    sum += outputs.at(0).second.to(torch::kDouble).sum().item<double>();
    is_on_gpu = outputs.at(0).second.is_cuda() && batch.input().is_cuda();
  }
  double sum = 0.0;
  bool is_on_gpu = false;
};

void expect_own_values_of_each_batch(const char* accelerator, const std::string& data_on_device,
                                     bool inference_mode) {
  Reusing model;
  PointsModule data(8, {.batch_size = 8}, 61);
  Trainer trainer({.accelerator = accelerator,
                   .inference_mode = inference_mode,
                   .data_on_device = data_on_device});
  const auto& watching = trainer.add<Watching>();
  const NamedTensors outputs = trainer.predict(model, data);
  model.eval();
  model.to(torch::kCPU);
  const torch::NoGradGuard no_grad;
  const auto expected = model.forward(data.val_data().tensors()[0].second);
  ASSERT_EQ(outputs.size(), 4U);
  for (const auto& [name, tensor] : outputs) {
    EXPECT_TRUE(tensor.is_cpu() && !tensor.is_inference()) << name;
    const auto values = name == "first" ? expected.select(1, 0) : expected;
    EXPECT_TRUE(torch::allclose(tensor, values, 1e-4, 1e-5)) << name;
  }
  EXPECT_TRUE(torch::equal(outputs[0].second, outputs[3].second));
  std::vector<torch::Tensor> parts;
  trainer.predict(model, data, [&parts](const NamedTensors& rows) {
    EXPECT_EQ(rows.size(), 4U);
    EXPECT_TRUE(rows[1].second.is_cpu());
    parts.push_back(rows[1].second.clone());
  });
  EXPECT_EQ(parts.size(), 8U);  // of 61 rows, 8 at a time
  EXPECT_TRUE(torch::equal(torch::cat(parts), outputs[1].second));
  EXPECT_NEAR(watching.sum, 2.0 * outputs[0].second.to(torch::kDouble).sum().item<double>(), 1e-9);
  EXPECT_EQ(watching.is_on_gpu, std::string(accelerator) == "gpu");
}

TEST(PredictLoop, outputs_in_memory_that_the_module_writes_again_keep_their_values) {
  for (const bool inference_mode : {false, true}) {
    expect_own_values_of_each_batch("cpu", "auto", inference_mode);
    expect_own_values_of_each_batch("cpu", "on", inference_mode);
  }
}

// Module::predict_step gets batches that the reader would write again.
TEST(PredictLoop, outputs_that_are_the_batch_itself_keep_their_values) {
  class Echo : public test::Classifier {
   public:
    NamedTensors predict_step(const Batch& batch, Step&) override {
      return {{"input", batch.input()}};
    }
  } model;
  PointsModule data(8, {.batch_size = 8}, 61);
  const auto outputs = Trainer({.accelerator = "cpu"}).predict(model, data);
  EXPECT_TRUE(torch::equal(outputs.at(0).second, data.val_data().tensors()[0].second));
}

TEST(PredictLoopCuda, outputs_in_memory_that_the_module_writes_again_keep_their_values) {
  if (cuda_device_count() == 0) GTEST_SKIP() << "needs a GPU";
  for (const bool inference_mode : {false, true}) {
    for (const char* data_on_device : {"auto", "on", "off"}) {
      expect_own_values_of_each_batch("gpu", data_on_device, inference_mode);
    }
  }
}

}  // namespace levin::predict_loop_test
