// "Nothing allocated by the framework in a steady step": operator new is counted in the whole
// process, LibTorch's tensors and graphs included, on the thread the run is on.
#include "framework/allocations.h"
#include "framework/support.h"

#include <gtest/gtest.h>

#include <optional>

#include <levin/framework/run/callback.h>

namespace levin::allocations_test {

constexpr int64_t kWarmUp = 64;
constexpr int64_t kSteps = 256;

/// Every hook inside a training step, and the count of allocations between two of the steps.
class Counter : public Callback {
 public:
  struct Options {};
  explicit Counter(Options) {}
  std::string state_key() const override { return "Counter"; }
  void on_train_batch_start(const Batch&, Step&) override { ++hooks; }
  void on_before_zero_grad(Optimizer&, Step&) override { ++hooks; }
  void on_before_backward(const torch::Tensor&, Step&) override { ++hooks; }
  void on_after_backward(Step&) override { ++hooks; }
  void on_before_optimizer_step(Optimizer&, Step&) override { ++hooks; }
  void on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) override {
    ++hooks;
    if (step.batch_index() == kWarmUp) before_ = test::allocations();
    if (step.batch_index() == kWarmUp + kSteps) counted = test::allocations() - before_;
  }

  int64_t hooks = 0;
  int64_t counted = -1;

 private:
  int64_t before_ = 0;
};

/// Rows of zeros, a batch of four a step.
class Zeros : public DataModule {
 public:
  DataLoaders train_dataloader() override {
    constexpr int64_t kRows = 4 * (kWarmUp + kSteps + 8);
    const auto data =
        std::make_shared<TensorDataset>(torch::zeros({kRows, 3}), torch::zeros(kRows));
    return DataLoader(data, {.batch_size = 4, .shuffle = true});
  }
};

/// No work: what is allocated is the framework's.
class Empty : public Module {
 public:
  explicit Empty(bool logs = false) : logs_(logs) { register_parameter("weight", value_); }
  torch::Tensor training_step(const Batch&, Step& step) override {
    if (logs_) {
      step.log("a value with a name too long for a short string", value_, {.on_epoch = true});
      step.log_dict({{"another value with a name too long for a short string", value_}, {"b", 1}});
    }
    return {};
  }
  Optimizers configure_optimizers() override {
    return SGD(parameters(), {.learning_rate = 0.1, .momentum = 0.9});
  }

 private:
  torch::Tensor value_ = torch::zeros({});
  bool logs_;
};

/// Gradients of its own, made once: the whole step but for LibTorch's graph.
class ClosedForm : public Empty {
 public:
  torch::Tensor training_step(const Batch&, Step& step) override {
    step.log("train_loss", loss_);
    return loss_;
  }
  void backward(const torch::Tensor&) override {
    for (auto& parameter : parameters_) parameter.mutable_grad() = gradient_;
  }

 private:
  std::vector<torch::Tensor> parameters_ = parameters();
  torch::Tensor gradient_ = torch::ones({});
  torch::Tensor loss_ = torch::ones({}, torch::requires_grad());
};

/// loss = mean((x w)^2), by autograd.
class Linear : public Module {
 public:
  Linear() { register_parameter("weight", weight_); }
  torch::Tensor loss(const torch::Tensor& input) const { return input.mv(weight_).square().mean(); }
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    auto result = loss(batch.input());
    step.log("train_loss", result);
    return result;
  }
  Optimizers configure_optimizers() override { return sgd(); }
  SGD sgd() { return SGD(parameters(), {.learning_rate = 0.1}); }

 private:
  torch::Tensor weight_ = torch::ones({3}, torch::requires_grad());
};

/// Allocations of kSteps steps of a run after its warm-up.
int64_t allocations_of(Module& model, TrainerOptions options = {}) {
  options.accelerator = "cpu";
  options.max_epochs = 1;
  Zeros data;
  Trainer trainer(options);
  auto& counter = trainer.add<Counter>();
  trainer.fit(model, data);
  EXPECT_GE(counter.hooks, 2 * (kWarmUp + kSteps));
  return counter.counted;
}

TEST(StepAllocations, an_empty_step_with_every_hook_allocates_nothing) {
  Empty model;
  EXPECT_EQ(allocations_of(model), 0);
}

TEST(StepAllocations, a_logged_tensor_allocates_nothing) {
  Empty model(/*logs=*/true);
  EXPECT_EQ(allocations_of(model), 0);
}

TEST(StepAllocations, the_profiler_allocates_nothing) {
  Empty model;
  testing::internal::CaptureStderr();
  const int64_t allocations = allocations_of(model, {.profiler = "simple"});
  testing::internal::GetCapturedStderr();
  EXPECT_EQ(allocations, 0);
}

// The loss is detached (a tensor), and nothing else: the way through backward, the hooks around it,
// the optimizer and its fused kernel.
TEST(StepAllocations, a_step_without_autograd_allocates_the_detached_loss_only) {
  ClosedForm model;
  const auto loss = torch::ones({}, torch::requires_grad());
  const int64_t before = test::allocations();
  const auto detached = loss.detach();
  const int64_t a_detach = test::allocations() - before;
  EXPECT_EQ(allocations_of(model), kSteps * a_detach);
}

// LibTorch allocates for each result and node of its graph (about 40 times here); a hand-written
// loop with the same operations does the same.
TEST(StepAllocations, a_linear_model_allocates_what_the_hand_written_loop_does) {
  Linear by_hand;
  const auto optimizer = std::make_unique<SGD>(by_hand.sgd());
  const auto input = torch::zeros({4, 3});
  int64_t before = 0;
  for (int64_t i = 0; i < kWarmUp + kSteps; ++i) {
    if (i == kWarmUp) before = test::allocations();
    optimizer->zero_grad();
    const auto loss = by_hand.loss(input);
    loss.backward();
    const auto detached = loss.detach();
    optimizer->step();
  }
  const int64_t hand_written = test::allocations() - before;
  Linear model;
  const int64_t trained = allocations_of(model);
  std::printf("%.1f allocations a step by hand, %.1f in a run\n",
              static_cast<double>(hand_written) / kSteps, static_cast<double>(trained) / kSteps);
  EXPECT_GT(hand_written, 0);
  EXPECT_LE(trained, hand_written);
}

}  // namespace levin::allocations_test
