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

TEST(ModelSummary, WritesItsTableToStderrWhenFitStarts) {
  FakeLoop loop;
  ModelSummary callback;
  ::testing::internal::CaptureStderr();
  callback.on_fit_start(loop.run);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), summarize(loop.module));
}

}  // namespace levin::test::model_summary_test
