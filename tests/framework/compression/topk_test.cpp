#include <levin/framework/compression/topk.h>

#include <cmath>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/core/error.h>

#include "framework/compression/lone_exchange.h"

namespace levin::test::topk_test {

TEST(TopK, sends_the_largest_of_each_gradient_and_the_others_when_they_have_grown) {
  TopKCompression compression(layout_of({{2, 2}, {3}}), {.ratio = 0.25});
  const auto values = torch::tensor({1.0f, -4.0f, 3.0f, 2.0f, 0.1f, -0.3f, 0.2f});
  const std::vector<torch::Tensor> expected{
      torch::tensor({0.0f, -4.0f, 0.0f, 0.0f, 0.0f, -0.3f, 0.0f}),
      torch::tensor({0.0f, 0.0f, 6.0f, 0.0f, 0.0f, 0.0f, 0.4f}),
      torch::tensor({0.0f, -8.0f, 0.0f, 0.0f, 0.0f, -0.6f, 0.0f}),
      torch::tensor({0.0f, 0.0f, 0.0f, 8.0f, 0.4f, 0.0f, 0.0f})};
  for (const auto& each : expected) {
    const auto result = sent(compression, values);
    EXPECT_TRUE(torch::allclose(result, each)) << result << each;
  }
}

TEST(TopK, nothing_is_lost_of_what_is_not_sent) {
  TopKCompression compression(layout_of({{40, 50}}, at::kDouble), {.ratio = 0.02});
  auto given = torch::zeros({2000}, torch::kDouble);
  auto received = torch::zeros({2000}, torch::kDouble);
  for (uint64_t step = 0; step < 50; ++step) {
    const auto values = normal({2000}, step, at::kDouble);
    given += values;
    received += sent(compression, values);
  }
  const auto rest = compression.state_dict().tensor("memory.p0").view({-1});
  EXPECT_LT((given - received - rest).abs().max().item<double>(), 1e-12);
  EXPECT_GT(rest.norm().item<double>(), 1.0);
}

TEST(TopK, without_memory_the_rest_is_lost) {
  TopKCompression compression(layout_of({{4}}), {.ratio = 0.25, .error_feedback = false});
  const auto values = torch::tensor({1.0f, -4.0f, 3.0f, 2.0f});
  for (int step = 0; step < 3; ++step) {
    EXPECT_TRUE(torch::equal(sent(compression, values), torch::tensor({0.0f, -4.0f, 0.0f, 0.0f})));
  }
}

TEST(TopK, of_a_ratio_of_one_changes_nothing) {
  TopKCompression compression(layout_of({{8, 7}, {5}}), {.ratio = 1.0});
  const auto values = normal({61}, 1);
  EXPECT_TRUE(torch::equal(sent(compression, values), values));
}

TEST(TopK, sends_eight_bytes_for_each_value_sent) {
  TopKCompression compression(layout_of({{100, 100}, {10}}), {.ratio = 0.01});
  LoneExchange exchange;
  sent(compression, normal({10010}, 2), exchange);
  EXPECT_EQ(exchange.bytes, 2 * 408);  // 101 values and places, each in a multiple of eight bytes
}

TEST(TopK, refuses_ratios_out_of_range) {
  for (const double ratio : {0.0, -0.1, 1.5, std::nan("")}) {
    EXPECT_THROW(TopKCompression(layout_of({{4}}), {.ratio = ratio}), ConfigError) << ratio;
  }
}

}  // namespace levin::test::topk_test
