#include <levin/callbacks/model_summary.h>
#include <levin/framework/core/error.h>

#include "callbacks/fixture.h"

namespace levin::test::model_summary_test {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// A net with a frozen layer, a nested one, and its first layer's weight used twice.
class Net : public Module {
 public:
  Net() {
    first_ = register_module("first", torch::nn::Linear(784, 32));
    inner_ = register_module("inner",
                             torch::nn::Sequential(torch::nn::ReLU(), torch::nn::Linear(32, 10)));
    norm_ = register_module("norm", torch::nn::BatchNorm1d(10));
    conv_ = register_module("conv", torch::nn::Conv2d(3, 8, 3));
    for (auto& parameter : norm_->parameters()) parameter.set_requires_grad(false);
    scale_ = register_parameter("scale", torch::ones({10}));
    register_parameter("tied", first_->weight);
  }

 private:
  torch::nn::Linear first_{nullptr};
  torch::nn::Sequential inner_{nullptr};
  torch::nn::BatchNorm1d norm_{nullptr};
  torch::nn::Conv2d conv_{nullptr};
  torch::Tensor scale_;
};

// Row 4: 784 -> 10 with bias has 7,850 parameters.
TEST(ModelSummary, CountsTheParametersOfALogisticRegression) {
  torch::nn::Linear linear(784, 10);
  EXPECT_EQ(summarize(*linear, 0), "7,850 parameters (7,850 trainable), 0.0314 MB\n");
}

TEST(ModelSummary, ListsLayersWithTheShapesTheirWeightsTell) {
  const Net net;
  const auto lines = lines_of(summarize(net));
  ASSERT_EQ(lines.size(), 8U) << summarize(net);
  EXPECT_TRUE(has(lines[1], "0 scale  parameter            10  yes                  [10]"))
      << lines[1];
  EXPECT_TRUE(has(lines[3], "2 first  Linear           25,120  yes        [*, 784]  [*, 32]"))
      << lines[3];
  EXPECT_TRUE(has(lines[4], "Sequential")) << lines[4];
  EXPECT_TRUE(has(lines[5], "BatchNorm1d")) << lines[5];
  EXPECT_TRUE(has(lines[5], "no         [*, 10]")) << lines[5];
  EXPECT_TRUE(has(lines[6], "[*, 8, *, *]")) << lines[6];
}

TEST(ModelSummary, CountsTiedParametersOnceAndFrozenOnesApart) {
  const Net net;
  // 784*32+32 + 32*10+10 + 2*10 frozen + 8*3*9+8 + 10
  EXPECT_EQ(lines_of(summarize(net)).back(), "25,704 parameters (25,684 trainable), 0.103 MB");
}

TEST(ModelSummary, ListsALayerThatIsRegisteredTwiceOnce) {
  class Twice : public Module {
   public:
    Twice() {
      const auto layer = register_module("encoder", torch::nn::Linear(4, 3));
      register_module("decoder", layer);
      register_module("nested", torch::nn::Sequential(layer, torch::nn::Linear(3, 2)));
    }
  } net;
  const std::string text = summarize(net, 2);
  EXPECT_TRUE(has(text, "encoder")) << text;
  EXPECT_FALSE(has(text, "decoder")) << text;
  EXPECT_FALSE(has(text, "nested.0")) << text;
  EXPECT_TRUE(has(text, "nested.1")) << text;
  EXPECT_TRUE(has(text, "23 parameters (23 trainable)")) << text;
}

TEST(ModelSummary, GoesAsDeepAsAsked) {
  const Net net;
  EXPECT_FALSE(has(summarize(net, 1), "inner.1"));
  EXPECT_TRUE(has(summarize(net, 2), "inner.1"));
  EXPECT_EQ(summarize(net, -1), summarize(net, 2));
  EXPECT_THROW(ModelSummary({.max_depth = -2}), ConfigError);
}

/// Says what to predict, and draws random numbers when it does.
class WithExample : public Classifier {
 public:
  WithExample() {
    conv_ = register_module("conv", torch::nn::Conv1d(1, 2, 3));
    embedding_ = register_module("embedding", torch::nn::Embedding(5, 4));
    lstm_ = register_module("lstm", torch::nn::LSTM(4, 6));
    deep_ = register_module("deep", torch::nn::Linear(torch::nn::LinearOptions(4, 8).bias(false)));
    conv_->eval();
  }
  NamedTensors example_input_array() const override {
    return {{"input", torch::zeros({2, 4}, torch::kDouble)}};
  }
  NamedTensors predict(const Batch& batch) override {
    EXPECT_FALSE(is_training());
    conv_(batch.input().unsqueeze(1));
    lstm_(embedding_(torch::zeros({7, 3}, torch::kLong)));
    deep_(torch::zeros({7, 3, 4}));
    return {{"out", forward(batch.input()) + torch::rand({})}};
  }
  bool is_conv_training() const { return conv_->is_training(); }

 private:
  torch::nn::Conv1d conv_{nullptr};
  torch::nn::Embedding embedding_{nullptr};
  torch::nn::LSTM lstm_{nullptr};
  torch::nn::Linear deep_{nullptr};
};

/// Keeps the state of the generator when fit starts.
class Generator : public Callback {
 public:
  explicit Generator(std::vector<torch::Tensor>& states) : states_(states) {}
  std::string state_key() const override { return "Generator"; }
  void on_fit_start(levin::Run&) override {
    states_.push_back(at::detail::getDefaultCPUGenerator().get_state());
  }

 private:
  std::vector<torch::Tensor>& states_;
};

TEST(ModelSummary, ShowsTheSizesOfAnExampleAndChangesNothing) {
  TemporaryFolder folder;
  PointsModule data(8, {.batch_size = 8});
  WithExample model;
  Trainer trainer({.max_epochs = 0, .default_root_dir = folder.string()});
  std::vector<torch::Tensor> states;
  trainer.add<Generator>(states);
  trainer.add<ModelSummary>();
  trainer.add<Generator>(states);
  testing::internal::CaptureStderr();
  trainer.fit(model, data);
  const auto text = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(torch::equal(states.at(0), states.at(1))) << "the generator is where it was";
  EXPECT_TRUE(model.is_training());
  EXPECT_FALSE(model.is_conv_training());
  for (const char* sizes :
       {"[2, 4]     [2, 16]", "[2, 16]    [2, 3]", "[2, 1, 4]  [2, 2, 2]", "[7, 3]     [7, 3, 4]",
        "[7, 3, 4]  [7, 3, 6]", "[7, 3, 4]  [7, 3, 8]"}) {
    EXPECT_TRUE(has(text, std::string("yes        ") + sizes)) << sizes << " isn't in\n" << text;
  }
}

TEST(ModelSummary, WritesItsTableToStderrWhenFitStarts) {
  FakeLoop loop;
  ModelSummary callback;
  ::testing::internal::CaptureStderr();
  callback.on_fit_start(loop.run);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), summarize(loop.module));
}

}  // namespace levin::test::model_summary_test
