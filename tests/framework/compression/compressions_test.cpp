// What every way of packing gradients promises.
#include <levin/framework/compression/gradient_compression.h>

#include <limits>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>

#include "framework/compression/lone_exchange.h"

namespace levin::test::compressions_test {

using Object = Value::Object;

/// Settings of each way that suit a few steps.
Value few_steps(const std::string& name) {
  if (name == "powersgd") return Object{{"start_powersgd_iter", 2}};
  if (name == "topk") return Object{{"ratio", 0.1}};
  return Object{};
}

std::unique_ptr<GradientCompression> made(const std::string& name, const GradientLayout& layout) {
  return shipped_gradient_compressions().make(name, few_steps(name), layout);
}

torch::Tensor gradients(int64_t step, at::ScalarType type) {
  return normal({8 * 70 + 9}, 100 + static_cast<uint64_t>(step), type);
}

TEST(GradientCompressions, go_on_from_their_state_with_the_same_bits) {
  for (const auto& name : shipped_gradient_compressions().names()) {
    for (const auto type : {at::kFloat, at::kDouble}) {
      SCOPED_TRACE(testing::Message() << name << " " << type);
      const auto layout = layout_of({{8, 70}, {9}}, type);
      const auto whole = made(name, layout);
      for (int64_t step = 0; step < 5; ++step) sent(*whole, gradients(step, type));
      const auto saved = checkpoint_from_bytes(checkpoint_bytes(whole->state_dict()));
      const auto resumed = made(name, layout);
      sent(*resumed, gradients(20, type));  // which the state replaces
      resumed->load_state_dict(saved);
      const auto forgetful = made(name, layout);
      for (int64_t step = 5; step < 9; ++step) {
        const auto expected = sent(*whole, gradients(step, type));
        EXPECT_EQ(expected.scalar_type(), type);
        EXPECT_TRUE(torch::equal(sent(*resumed, gradients(step, type)), expected)) << step;
        EXPECT_FALSE(torch::equal(sent(*forgetful, gradients(step, type)), expected)) << step;
      }
    }
  }
}

TEST(GradientCompressions, leave_the_gradients_that_they_are_given_as_they_are) {
  for (const auto& name : shipped_gradient_compressions().names()) {
    const auto compression = made(name, layout_of({{8, 70}, {9}}));
    for (int64_t step = 0; step < 4; ++step) {
      const auto own = gradients(step, at::kFloat);
      sent(*compression, own);
      EXPECT_TRUE(torch::equal(own, gradients(step, at::kFloat))) << name;
    }
  }
}

TEST(GradientCompressions, infinite_and_undefined_gradients_stay_so) {
  for (const auto& name : shipped_gradient_compressions().names()) {
    for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
      for (const int64_t place : {0, 100, 8 * 70 + 3}) {
        const auto compression = made(name, layout_of({{8, 70}, {9}}));
        for (int64_t step = 0; step < 3; ++step) sent(*compression, gradients(step, at::kFloat));
        auto own = gradients(3, at::kFloat);
        own[place] = bad;
        EXPECT_FALSE(sent(*compression, own).isfinite().all().item<bool>())
            << name << " " << bad << " " << place;
      }
    }
  }
}

TEST(GradientCompressions, zeros_stay_zeros) {
  for (const auto& name : shipped_gradient_compressions().names()) {
    const auto compression = made(name, layout_of({{8, 70}, {9}}));
    for (int step = 0; step < 4; ++step) {
      EXPECT_EQ(sent(*compression, torch::zeros({8 * 70 + 9})).abs().sum().item<float>(), 0.0f)
          << name;
    }
  }
}

TEST(GradientCompressions, of_another_number_of_ranks_rank_zero_takes_over_what_was_not_sent) {
  const auto state_of = [](float rest, float q) {
    StateDict state;
    state.tensors["memory.w"] = torch::full({2}, rest);
    state.tensors["q.memory.w"] = torch::full({3}, q);  // of a parameter named memory.w
    state.values["powersgd_steps"] = 7;
    return state;
  };
  const std::vector<StateDict> three{state_of(1.0, 5.0), state_of(2.0, 5.0), state_of(4.0, 5.0)};
  const auto first = compression_state_for(three, 0, 2);
  EXPECT_EQ(first.tensor("memory.w")[0].item<float>(), 7.0f);
  const auto second = compression_state_for(three, 1, 2);
  EXPECT_EQ(second.tensors.count("memory.w"), 0u);
  for (const auto& each : {first, second}) {
    EXPECT_EQ(each.tensor("q.memory.w")[0].item<float>(), 5.0f);
    EXPECT_EQ(each.values.at("powersgd_steps").as_int(), 7);
  }
  EXPECT_EQ(compression_state_for(three, 2, 3).tensor("memory.w")[0].item<float>(), 4.0f);
  EXPECT_TRUE(compression_state_for({}, 0, 2).empty());
}

TEST(GradientCompressions, a_state_of_another_shape_is_refused_by_name) {
  StateDict state;
  state.tensors["memory.p1"] = torch::zeros({4});
  const auto compression = made("one_bit", layout_of({{8, 70}, {9}}));
  try {
    compression->load_state_dict(state);
    FAIL() << "was taken";
  } catch (const CheckpointError& error) {
    EXPECT_NE(std::string(error.what()).find("memory.p1"), std::string::npos) << error.what();
  }
}

TEST(GradientCompressions, are_chosen_by_name_with_settings_of_their_own) {
  for (const char* plain : {"none", "fp16", "bf16"}) EXPECT_FALSE(packs_gradients(plain));
  for (const auto& name : shipped_gradient_compressions().names()) {
    EXPECT_TRUE(packs_gradients(name));
  }
  EXPECT_TRUE(packs_gradients({"one_bit", Object{{"error_feedback", false}}}));
  EXPECT_THROW(packs_gradients("onebit"), ConfigError);
  EXPECT_THROW(packs_gradients({"fp16", Object{{"bits", 4}}}), ConfigError);
  EXPECT_THROW(packs_gradients({"one_bit", Object{{"bits", 4}}}), ConfigError);
  EXPECT_THROW(packs_gradients({"one_bit", Object{{"means_of", "column"}}}), ConfigError);
}

}  // namespace levin::test::compressions_test
