#include <levin/framework/compression/powersgd.h>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/core/error.h>

#include "framework/compression/lone_exchange.h"

namespace levin::test::powersgd_test {

double distance(const torch::Tensor& a, const torch::Tensor& b) {
  return (a - b).norm().item<double>();
}

TEST(PowerSgd, of_the_rank_of_a_gradient_sends_all_of_it) {
  PowerSgdCompression compression(layout_of({{40, 30}, {7}}, at::kDouble),
                                  {.rank = 2, .start_powersgd_iter = 0});
  const auto matrix =
      normal({40, 2}, 1, at::kDouble).mm(normal({2, 30}, 2, at::kDouble)).view({-1});
  const auto values = torch::cat({matrix, normal({7}, 3, at::kDouble)});
  EXPECT_LT(distance(sent(compression, values), values), 1e-10);
}

// The best approximation of rank r is the one of the r largest singular values.
TEST(PowerSgd, warm_start_comes_to_the_best_approximation) {
  const auto matrix = normal({40, 30}, 4, at::kDouble);
  const auto singular = std::get<1>(torch::linalg_svd(matrix));
  const double best = singular.narrow(0, 3, 27).norm().item<double>();
  const auto gap_after = [&](bool warm_start, int steps) {
    PowerSgdCompression compression(
        layout_of({{40, 30}}, at::kDouble),
        {.rank = 3, .start_powersgd_iter = 0, .error_feedback = false, .warm_start = warm_start});
    torch::Tensor result;
    for (int step = 0; step < steps; ++step) result = sent(compression, matrix.view({-1}));
    return distance(result.view({40, 30}), matrix);
  };
  EXPECT_NEAR(gap_after(true, 300), best, 1e-6 * best);
  EXPECT_GT(gap_after(true, 1), 1.02 * best);
  EXPECT_GT(gap_after(false, 300), 1.02 * best);
}

TEST(PowerSgd, nothing_is_lost_of_what_is_not_sent) {
  PowerSgdCompression compression(layout_of({{40, 50}, {3}}, at::kDouble),
                                  {.rank = 1, .start_powersgd_iter = 4});
  auto given = torch::zeros({2003}, torch::kDouble);
  auto received = torch::zeros({2003}, torch::kDouble);
  for (uint64_t step = 0; step < 30; ++step) {
    const auto values = normal({2003}, step, at::kDouble);
    given += values;
    received += sent(compression, values);
  }
  const auto state = compression.state_dict();
  const auto rest = torch::cat({state.tensor("memory.p0").view({-1}), state.tensor("memory.p1")});
  EXPECT_LT(distance(given - received, rest), 1e-11);
  EXPECT_GT(rest.norm().item<double>(), 1.0);
  EXPECT_EQ(state.tensor("memory.p1").abs().sum().item<double>(), 0.0);  // sent as it is
}

// PyTorch's rule: compressed if (n + m) r * min_compression_rate < n m. Of a weight [10, 784], that
// is so up to rank 4.
TEST(PowerSgd, compresses_what_becomes_smaller_by_the_rate) {
  for (const int64_t rank : {1, 4, 5}) {
    PowerSgdCompression compression(layout_of({{10, 784}, {10}}),
                                    {.rank = rank, .start_powersgd_iter = 0});
    LoneExchange exchange;
    sent(compression, normal({7850}, 5), exchange);
    EXPECT_EQ(exchange.bytes, rank == 5 ? 7850 * 4 : (794 * rank + 10) * 4) << rank;
  }
}

TEST(PowerSgd, gradients_are_sent_as_they_are_until_the_step_asked_for) {
  PowerSgdCompression compression(layout_of({{40, 50}}), {.start_powersgd_iter = 3});
  for (uint64_t step = 0; step < 5; ++step) {
    const auto values = normal({2000}, step);
    EXPECT_EQ(torch::equal(sent(compression, values), values), step < 3) << step;
  }
}

TEST(PowerSgd, refuses_settings_out_of_range) {
  const auto layout = layout_of({{4, 4}});
  EXPECT_THROW(PowerSgdCompression(layout, {.rank = 0}), ConfigError);
  EXPECT_THROW(PowerSgdCompression(layout, {.start_powersgd_iter = -1}), ConfigError);
  EXPECT_THROW(PowerSgdCompression(layout, {.min_compression_rate = 0.0}), ConfigError);
}

}  // namespace levin::test::powersgd_test
