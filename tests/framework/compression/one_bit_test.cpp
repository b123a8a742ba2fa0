#include <levin/framework/compression/one_bit.h>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/core/error.h>

#include "framework/compression/lone_exchange.h"

namespace levin::test::one_bit_test {

TEST(OneBit, each_value_becomes_the_mean_of_its_side_of_its_row) {
  auto weight = torch::zeros({2, 64});
  weight[0].narrow(0, 0, 2).copy_(torch::tensor({4.0f, 2.0f}));
  weight[0].narrow(0, 2, 62).fill_(-2.0);
  weight[1].narrow(0, 0, 32).fill_(0.0);
  weight[1].narrow(0, 32, 32).fill_(8.0);
  const auto bias = torch::tensor({-1.0f, -3.0f, 5.0f});
  OneBitCompression compression(layout_of({{2, 64}, {3}}));
  const auto result = sent(compression, torch::cat({weight.view({-1}), bias}));
  auto expected = torch::full({2, 64}, 4.0);  // of 32 zeros and 32 eights
  expected[0].narrow(0, 0, 2).fill_(3.0);
  expected[0].narrow(0, 2, 62).fill_(-2.0);
  EXPECT_TRUE(torch::equal(result.narrow(0, 0, 128).view({2, 64}), expected)) << result;
  EXPECT_TRUE(torch::equal(result.narrow(0, 128, 3), torch::tensor({-2.0f, -2.0f, 5.0f})));
}

TEST(OneBit, all_values_of_a_gradient_share_their_means_if_asked_or_if_rows_are_short) {
  const auto values = normal({2, 64}, 1);
  const auto expected = torch::where(values >= 0.0, values.masked_select(values >= 0.0).mean(),
                                     values.masked_select(values < 0.0).mean());
  OneBitCompression asked(layout_of({{2, 64}}), {.means_of = "tensor"});
  EXPECT_TRUE(torch::allclose(sent(asked, values.view({-1})).view({2, 64}), expected));
  OneBitCompression short_rows(layout_of({{16, 8}}));
  EXPECT_TRUE(torch::allclose(sent(short_rows, values.view({-1})).view({2, 64}), expected));
  OneBitCompression by_row(layout_of({{2, 64}}));
  EXPECT_FALSE(torch::allclose(sent(by_row, values.view({-1})).view({2, 64}), expected));
}

// row 40: the same error in each step adds up, and error feedback sends it later.
TEST(OneBit, is_biased_and_error_feedback_sends_the_rest_later) {
  const auto values = normal({256}, 2);
  const auto gap_of_mean = [&](bool error_feedback) {
    OneBitCompression compression(layout_of({{256}}), {.error_feedback = error_feedback});
    auto sum = torch::zeros({256});
    for (int step = 0; step < 1600; ++step) sum += sent(compression, values);
    return ((sum / 1600 - values).norm() / values.norm()).item<double>();
  };
  EXPECT_GT(gap_of_mean(false), 0.5);
  EXPECT_LT(gap_of_mean(true), 0.02);
}

/// Descends on half the squared distance to the mean of skewed random points, of which half the
/// coordinates are mostly -1 and seldom 9, and the others the opposite: their mean is 0, and their
/// median isn't. Returns the distance from the mean in a coordinate, on average.
double distance_from_optimum(bool error_feedback) {
  constexpr int64_t kSize = 512;
  OneBitCompression compression(layout_of({{kSize}}), {.error_feedback = error_feedback});
  auto generator = torch::make_generator<at::CPUGeneratorImpl>(3);
  const auto sign = torch::ones({kSize});
  sign.narrow(0, 0, kSize / 2).fill_(-1.0);
  auto point = torch::zeros({kSize});
  auto mean = torch::zeros({kSize});
  for (int step = 0; step < 2000; ++step) {
    const auto is_rare = torch::rand({kSize}, generator) < 0.1;
    const auto sample = sign * torch::where(is_rare, torch::tensor(9.0f), torch::tensor(-1.0f));
    point -= 0.01 * sent(compression, point - sample);
    if (step >= 1000) mean += point / 1000;
  }
  return mean.abs().mean().item<double>();
}

// row 40: without error feedback, training ends elsewhere than at the optimum; with it, there.
TEST(OneBit, training_reaches_the_optimum_with_error_feedback_only) {
  EXPECT_GT(distance_from_optimum(false), 0.5);
  EXPECT_LT(distance_from_optimum(true), 0.15);
}

TEST(OneBit, sends_a_bit_a_value_and_two_means_a_row) {
  OneBitCompression compression(layout_of({{10, 784}, {10}}));
  LoneExchange exchange;
  sent(compression, normal({7850}, 4), exchange);
  EXPECT_EQ(exchange.bytes, 2 * 11 * 4 + 984);  // 7,850 bits, in a multiple of eight bytes
  EXPECT_LT(exchange.bytes * 25, 7850 * 4);
}

TEST(OneBit, refuses_other_groups) {
  EXPECT_THROW(OneBitCompression(layout_of({{4}}), {.means_of = "column"}), ConfigError);
}

}  // namespace levin::test::one_bit_test
