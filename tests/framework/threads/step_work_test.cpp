#include <levin/framework/threads/step_work.h>

#include "framework/support.h"

#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include <levin/framework/threads/shared_work.h>

namespace levin::step_work_test {

/// Returns the estimated seconds of `step` with one and with `threads` threads.
std::pair<double, double> seconds(const std::function<void()>& step, int threads = 2) {
  const StepWork work;
  step();
  return {work.seconds(1), work.seconds(threads)};
}

TEST(StepWork, counts_matrix_products_with_their_gradients) {
  const auto x = torch::rand({64, 300});
  const auto weight = torch::rand({200, 300}).requires_grad_();
  const auto bias = torch::rand({200}).requires_grad_();
  constexpr double kProduct = 2.0 * 64 * 300 * 200 / 50e9;
  EXPECT_NEAR(seconds([&] { x.mm(weight.detach().t()); }).first, kProduct, 0.01 * kProduct);
  torch::Tensor out;
  const double forward = seconds([&] { out = torch::linear(x, weight, bias); }).first;
  EXPECT_NEAR(forward, kProduct, 0.1 * kProduct);
  const double backward = seconds([&] { out.sum().backward(); }).first;  // no gradient of x
  EXPECT_NEAR(backward, kProduct, 0.2 * kProduct);
  const double batched =
      seconds([&] { torch::bmm(x.unsqueeze(0), weight.detach().t().unsqueeze(0)); }).first;
  EXPECT_NEAR(batched, kProduct, 0.1 * kProduct);
}

TEST(StepWork, counts_convolutions_by_their_outputs) {
  const auto x = torch::rand({8, 3, 32, 32});
  const auto weight = torch::rand({16, 3, 5, 5}).requires_grad_();
  constexpr double kForward = 2.0 * 8 * 16 * 28 * 28 * 3 * 5 * 5 / 50e9;
  torch::Tensor out;
  const double forward = seconds([&] { out = torch::conv2d(x, weight); }).first;
  EXPECT_GT(forward, kForward);
  EXPECT_LT(forward, 1.5 * kForward);
  const double backward = seconds([&] { out.sum().backward(); }).first;
  EXPECT_GT(backward, 2.0 * kForward);
  EXPECT_LT(backward, 3.0 * kForward);
}

TEST(StepWork, says_that_sharing_pays_for_large_operations_only) {
  const auto large = torch::rand({500, 500});
  const auto small = torch::rand({20, 20});
  const auto [large_alone, large_shared] = seconds([&] { large.mm(large); });
  EXPECT_LT(large_shared, 0.6 * large_alone);
  // As much work in all, but each product takes less time than handing it over.
  const auto [small_alone, small_shared] = seconds([&] {
    for (int i = 0; i < 500; ++i) small.mm(small);
  });
  EXPECT_DOUBLE_EQ(small_shared, small_alone);
  const auto [middle_alone, middle_shared] = seconds([&] {
    for (int i = 0; i < 50; ++i) large.narrow(0, 0, 4).narrow(1, 0, 4).mm(large.narrow(0, 0, 4));
  });
  EXPECT_DOUBLE_EQ(middle_shared, middle_alone);
}

TEST(StepWork, counts_the_elements_of_other_operations_and_nothing_for_views) {
  const auto x = torch::rand({1'000'000});
  EXPECT_NEAR(seconds([&] { x.exp(); }).first, 1e-3, 1e-4);
  EXPECT_LT(seconds([&] { x.exp(); }, 8).second, 2.5e-4);
  EXPECT_EQ(seconds([&] { x.view({1000, 1000}).t().narrow(0, 1, 5); }).first, 0.0);
}

TEST(StepWork, leaves_out_what_is_shared_out) {
  const auto x = torch::rand({300, 300});
  EXPECT_EQ(seconds([&] { share_out(2, [&](int64_t) { x.mm(x); }); }).first, 0.0);
}

TEST(StepWork, counts_only_while_it_exists_and_on_its_thread) {
  const auto x = torch::rand({300, 300});
  x.mm(x);
  const StepWork work;
  EXPECT_EQ(work.seconds(1), 0.0);
  std::thread([&] { x.mm(x); }).join();
  EXPECT_EQ(work.seconds(1), 0.0);
  x.mm(x);
  EXPECT_GT(work.seconds(1), 0.0);
}

}  // namespace levin::step_work_test
