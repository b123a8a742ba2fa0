#include <levin/framework/precision/gradient_scaler.h>

#include "framework/message_of.h"
#include "framework/support.h"

#include <gtest/gtest.h>

#include <limits>

#include <levin/framework/core/error.h>

namespace levin::gradient_scaler_test {

using test::message_of;
using test::same_bits;
using test::says;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Parameters of two types with the gradient `value` times the scale.
std::vector<torch::Tensor> with_gradients(const GradientScaler& scaler, float value) {
  std::vector<torch::Tensor> parameters;
  for (const auto type : {torch::kFloat, torch::kDouble, torch::kFloat}) {
    parameters.push_back(torch::zeros({3}, type).requires_grad_());
    parameters.back().mutable_grad() = torch::full({3}, value * scaler.current_scale(), type);
  }
  parameters.back().mutable_grad() = torch::Tensor();  // not used by the loss
  return parameters;
}

bool step(GradientScaler& scaler, float value) {
  scaler.unscale(with_gradients(scaler, value));
  const bool skips = scaler.skips();
  scaler.update();
  return skips;
}

TEST(GradientScaler, divides_gradients_by_what_the_loss_was_multiplied_by) {
  GradientScaler scaler(torch::kCPU);
  EXPECT_EQ(scaler.scale(torch::tensor(0.25F)).item<float>(), 16384.0F);
  const auto half = scaler.scale(torch::tensor({3.0F}).to(torch::kHalf));
  EXPECT_EQ(half.item<float>(), 3 * 65536.0F);  // float16 ends at 65504
  const auto parameters = with_gradients(scaler, 0.5F);
  scaler.unscale(parameters);
  EXPECT_FALSE(scaler.skips());
  EXPECT_TRUE(parameters[0].grad().eq(0.5).all().item<bool>());
  EXPECT_TRUE(parameters[1].grad().eq(0.5).all().item<bool>());
  auto table = torch::zeros({5, 1}).requires_grad_();
  table.mutable_grad() = torch::sparse_coo_tensor(torch::tensor({{1, 1}}),
                                                  torch::tensor({{65536.0F}, {131072.0F}}), {5, 1});
  scaler.unscale({table});
  EXPECT_EQ(table.grad().to_dense()[1].item<float>(), 3.0F);
}

TEST(GradientScaler, halves_the_scale_after_a_step_that_is_not_finite_and_doubles_it_later) {
  GradientScaler scaler(torch::kCPU, {.growth_interval = 3});
  EXPECT_TRUE(step(scaler, kInfinity));
  EXPECT_TRUE(step(scaler, std::numeric_limits<float>::quiet_NaN()));
  EXPECT_EQ(scaler.current_scale(), 16384.0);
  EXPECT_EQ(scaler.skipped_steps(), 2);
  for (const double expected : {16384.0, 16384.0, 32768.0}) {
    EXPECT_FALSE(step(scaler, 1.0F));
    EXPECT_EQ(scaler.current_scale(), expected);
  }
  EXPECT_EQ(scaler.skipped_steps(), 2);
}

TEST(GradientScaler, goes_on_from_its_state) {
  GradientScaler scaler(torch::kCPU, {.growth_interval = 3});
  for (const float value : {kInfinity, 1.0F, 1.0F}) step(scaler, value);
  GradientScaler other(torch::kCPU, {.growth_interval = 3});
  const StateDict state = scaler.state_dict();
  EXPECT_EQ(state.tensors.at("scale").dtype(), torch::kFloat);
  step(scaler, 1.0F);
  other.load_state_dict(state);
  EXPECT_EQ(other.skipped_steps(), 1);
  step(other, 1.0F);
  EXPECT_EQ(other.current_scale(), 65536.0);
  EXPECT_EQ(scaler.current_scale(), 65536.0);
  EXPECT_TRUE(says(message_of<CheckpointError>([&] { other.load_state_dict({}); }), {"scale"}));
}

TEST(GradientScaler, counts_on_the_device_what_recorded_steps_leave_out) {
  GradientScaler scaler(torch::kCPU);
  for (const float value : {1.0F, kInfinity, 1.0F, kInfinity}) {
    scaler.unscale(with_gradients(scaler, value));
    scaler.count_skip();
    scaler.update();
  }
  EXPECT_EQ(scaler.skipped_steps(), 0);
  EXPECT_EQ(scaler.take_counted(4), 2);
  EXPECT_EQ(scaler.take_counted(1), 0);
  EXPECT_EQ(scaler.skipped_steps(), 2);
}

TEST(GradientScaler, gives_up_if_no_scale_makes_gradients_finite) {
  GradientScaler scaler(torch::kCPU);
  int64_t steps = 0;
  const auto message = message_of<ModuleError>([&] {
    for (; steps < 1000; ++steps) step(scaler, kInfinity);
  });
  EXPECT_EQ(steps, GradientScaler::kMostSkipsInARow - 1);
  EXPECT_TRUE(says(message, {"60 steps in a row", "detect_anomaly", "bf16-mixed"}));
}

}  // namespace levin::gradient_scaler_test
