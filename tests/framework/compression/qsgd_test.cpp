#include <levin/framework/compression/qsgd.h>

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/core/error.h>

#include "framework/compression/lone_exchange.h"

namespace levin::test::qsgd_test {

constexpr int64_t kValues = 64;
constexpr int64_t kCopies = 1000;
constexpr int64_t kSteps = 100;

// row 41: E[Q(v)] = v over 100,000 draws, and E|Q(v) - v|^2 <= min(n / s^2, sqrt(n) / s) |v|_2^2.
TEST(Qsgd, is_unbiased_and_its_variance_is_bounded) {
  const auto values = normal({kValues}, 1);
  for (const char* norm : {"l2", "max"}) {
    for (const int64_t levels : {1, 4, 7, 127}) {
      SCOPED_TRACE(testing::Message() << norm << " " << levels);
      QsgdCompression compression(layout_of({{kCopies, kValues}}),
                                  {.levels = levels, .bucket_size = kValues, .norm = norm});
      const auto copies = values.repeat({kCopies});
      auto sum = torch::zeros({kValues}, torch::kDouble);
      double squares = 0.0;
      for (int64_t step = 0; step < kSteps; ++step) {
        const auto drawn = sent(compression, copies).view({kCopies, kValues}).to(torch::kDouble);
        sum += drawn.sum(0);
        squares += (drawn - values).square().sum().item<double>();
      }
      constexpr double kDraws = kCopies * kSteps;
      const auto s = static_cast<double>(levels);
      const double length = values.norm().item<double>();
      const double unit = (*norm == 'l' ? length : values.abs().max().item<double>()) / s;
      // The standard deviation of a draw is at most unit / 2; the bound is five standard errors.
      const double bound = 5.0 * unit / 2.0 / std::sqrt(kDraws);
      EXPECT_LT((sum / kDraws - values).abs().max().item<double>(), bound);
      constexpr double n = kValues;
      if (*norm == 'l') {
        EXPECT_LT(squares / kDraws, std::min(n / s / s, std::sqrt(n) / s) * length * length);
      }
    }
  }
}

TEST(Qsgd, values_become_neighbouring_multiples_of_the_norm_over_the_levels) {
  const auto values = torch::tensor({0.0f, 3.0f, -4.0f, 1.5f, 0.0f, 0.0f, 0.0f, 0.0f, 7.0f});
  QsgdCompression compression(layout_of({{9}}), {.levels = 2, .bucket_size = 4});
  bool was_up = false;
  bool was_down = false;
  for (int step = 0; step < 50; ++step) {
    const auto result = sent(compression, values);
    const float second = result[1].item<float>();
    was_up = was_up || second == 4.0f;
    was_down = was_down || second == 2.0f;
    EXPECT_TRUE(second == 4.0f || second == 2.0f) << second;
    EXPECT_EQ(result[2].item<float>(), -4.0f);  // the norm
    EXPECT_EQ(result.narrow(0, 4, 4).abs().sum().item<float>(), 0.0f);
    EXPECT_EQ(result[8].item<float>(), 7.0f);
  }
  EXPECT_TRUE(was_up && was_down);
}

TEST(Qsgd, ranks_and_steps_draw_different_numbers) {
  auto layout = layout_of({{512}});
  QsgdCompression first(layout);
  layout.rank = 1;
  QsgdCompression second(layout);
  const auto values = normal({512}, 2);
  const auto one = sent(first, values);
  EXPECT_FALSE(torch::equal(one, sent(second, values)));
  EXPECT_FALSE(torch::equal(one, sent(first, values)));
}

TEST(Qsgd, sends_two_four_or_eight_bits_a_value) {
  for (const auto& [levels, bits] : {std::pair{1, 2}, {7, 4}, {8, 8}, {127, 8}}) {
    QsgdCompression compression(layout_of({{4096}}), {.levels = levels});
    LoneExchange exchange;
    sent(compression, normal({4096}, 3), exchange);
    EXPECT_EQ(exchange.bytes, 4096 * bits / 8 + 4096 / 512 * 4);
  }
}

TEST(Qsgd, refuses_settings_out_of_range) {
  EXPECT_THROW(QsgdCompression(layout_of({{4}}), {.levels = 0}), ConfigError);
  EXPECT_THROW(QsgdCompression(layout_of({{4}}), {.levels = 128}), ConfigError);
  EXPECT_THROW(QsgdCompression(layout_of({{4}}), {.bucket_size = 0}), ConfigError);
  EXPECT_THROW(QsgdCompression(layout_of({{4}}), {.norm = "l1"}), ConfigError);
}

}  // namespace levin::test::qsgd_test
