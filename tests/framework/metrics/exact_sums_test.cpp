#include <levin/framework/metrics/exact_sums.h>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>

namespace levin::exact_sums_test {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double sum_of(const std::vector<double>& values) {
  const auto sums = exact_sums(1, torch::kCPU);
  add_exactly(sums, torch::tensor(values, torch::kDouble).unsqueeze(1));
  return rounded_sums(sums).front();
}

TEST(ExactSums, lose_no_digit_however_far_apart_the_numbers_are) {
  EXPECT_EQ(sum_of({1e300, 1.0, 1e-300, -1e300, -1.0}), 1e-300);
  EXPECT_EQ(sum_of({0.1, 0.2, -0.3}), 0x1p-55);  // as the three doubles are
  EXPECT_EQ(sum_of({5e-324, 5e-324, -0.0}), 1e-323);
  EXPECT_EQ(sum_of({-5e-324, 1.0, -1.0}), -5e-324);
  EXPECT_EQ(sum_of({1.7e308, 1.7e308, -1.7e308}), 1.7e308);
  EXPECT_EQ(sum_of({}), 0.0);
}

TEST(ExactSums, are_rounded_to_the_nearest_number) {
  EXPECT_EQ(sum_of({1.0, 0x1p-53}), 1.0);  // a tie, to even
  EXPECT_EQ(sum_of({1.0, 0x1p-53, 0x1p-1000}), 1.0 + 0x1p-52);
  EXPECT_EQ(sum_of({-1.0, -0x1p-53, -0x1p-1000}), -1.0 - 0x1p-52);
  EXPECT_EQ(sum_of({1.0, 0x1p-53, -0x1p-1000}), 1.0);
  EXPECT_EQ(sum_of({1.7e308, 1.7e308}), kInfinity);
}

TEST(ExactSums, keep_nan_and_infinities) {
  EXPECT_TRUE(std::isnan(sum_of({1.0, std::nan(""), 2.0})));
  EXPECT_EQ(sum_of({1.0, kInfinity}), kInfinity);
  EXPECT_EQ(sum_of({1.0, -kInfinity}), -kInfinity);
  EXPECT_TRUE(std::isnan(sum_of({kInfinity, -kInfinity})));
}

torch::Tensor numbers_of_all_sizes() {
  torch::manual_seed(4);
  const auto exponents = torch::randint(-1070, 1000, {300}).to(torch::kDouble);
  auto numbers = torch::randn({300}, torch::kDouble) * exponents.exp2();
  numbers[7] = 0.0;
  numbers[8] = 5e-324;
  return numbers;
}

TEST(ExactSums, do_not_depend_on_the_order_nor_on_how_numbers_are_cut) {
  const auto numbers = numbers_of_all_sizes();
  const auto expected = sums_as_pairs(exact_sums(1, torch::kCPU).add_(0)).front();
  ASSERT_EQ(expected.first, 0.0);
  const auto whole = exact_sums(1, torch::kCPU);
  add_exactly(whole, numbers.unsqueeze(1));
  const auto merged = exact_sums(1, torch::kCPU);
  for (const auto& part : numbers.flip(0).split(17)) {
    const auto own = exact_sums(1, torch::kCPU);
    add_exactly(own, part.unsqueeze(1));
    merged.add_(own);
  }
  EXPECT_EQ(sums_as_pairs(merged), sums_as_pairs(whole));
}

TEST(ExactSums, of_tensor_operations_are_those_of_the_loop) {
  auto numbers = numbers_of_all_sizes();
  for (const double special : {kInfinity, -kInfinity, std::nan("")}) {
    const auto which = torch::arange(300).remainder(4);
    const auto by_loop = exact_sums(4, torch::kCPU);
    add_exactly(by_loop, numbers, which);
    const auto by_tensors = exact_sums(4, torch::kCPU);
    add_exactly_on_device(by_tensors, numbers, which);
    EXPECT_TRUE(by_loop.equal(by_tensors));
    numbers[special > 0 ? 0 : 1] = special;
  }
}

TEST(ExactSums, of_products_have_all_their_digits) {
  const auto a = torch::tensor({1.0 + 0x1p-52, 3e200, -0.1}, torch::kDouble);
  const auto [product, rest] = exact_product(a, a);
  EXPECT_EQ(rest[0].item<double>(), 0x1p-104);
  for (int64_t i = 0; i < 3; ++i) {
    const double number = a[i].item<double>();
    if (i == 1) continue;  // its square is infinite
    EXPECT_EQ(rest[i].item<double>(), std::fma(number, number, -(number * number)));
  }
}

}  // namespace levin::exact_sums_test
