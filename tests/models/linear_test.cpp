#include <levin/models/linear.h>

#include "framework/support.h"

#include <gtest/gtest.h>

#include <levin/framework/threads/threads.h>

namespace levin::linear_test {

struct Result {
  torch::Tensor output, of_input, of_weight, of_bias;
};

/// Returns the layer's output and gradients for fixed inputs, with one loss that weighs all outputs
/// differently.
Result run(int64_t rows, int64_t in, int64_t out, bool has_bias, bool by_libtorch) {
  torch::manual_seed(5);
  const auto input = (torch::rand({rows, in}) - 0.5).requires_grad_();
  const auto weight = (torch::rand({out, in}) - 0.5).requires_grad_();
  const auto bias = has_bias ? torch::rand({out}).requires_grad_() : torch::Tensor();
  const auto weights = torch::rand({rows, out});
  const auto output =
      by_libtorch ? torch::linear(input, weight, bias) : levin::linear(input, weight, bias);
  (output * weights).sum().backward();
  return {output.detach(), input.grad(), weight.grad(), has_bias ? bias.grad() : torch::Tensor()};
}

TEST(Linear, equals_libtorchs_with_and_without_parts) {
  for (const auto& [rows, in, out] : std::vector<std::array<int64_t, 3>>{
           {3, 4, 5}, {128, 784, 128}, {1000, 300, 70}, {33, 5000, 40}, {2000, 17, 300}}) {
    for (const bool has_bias : {false, true}) {
      const Result own = run(rows, in, out, has_bias, false);
      const Result expected = run(rows, in, out, has_bias, true);
      EXPECT_TRUE(torch::allclose(own.output, expected.output, 1e-4, 1e-4));
      EXPECT_TRUE(torch::allclose(own.of_input, expected.of_input, 1e-4, 1e-4));
      EXPECT_TRUE(torch::allclose(own.of_weight, expected.of_weight, 1e-4, 1e-3));
      if (has_bias) {
        EXPECT_TRUE(torch::allclose(own.of_bias, expected.of_bias, 1e-4, 1e-3));
      }
    }
  }
}

TEST(Linear, has_the_same_bits_for_any_number_of_threads) {
  for (const auto& [rows, in, out] :
       std::vector<std::array<int64_t, 3>>{{128, 784, 128}, {1000, 300, 70}, {33, 5000, 40}}) {
    std::vector<Result> results;
    for (const int threads : {1, 2, 3, 4}) {
      ThreadScope scope;
      scope.set({.threads = 1, .sharing = threads});
      results.push_back(run(rows, in, out, true, false));
      scope.set({.threads = threads});  // LibTorch's threads, too
      results.push_back(run(rows, in, out, true, false));
    }
    for (const auto& result : results) {
      EXPECT_TRUE(test::same_bits(result.output, results[0].output));
      EXPECT_TRUE(test::same_bits(result.of_input, results[0].of_input));
      EXPECT_TRUE(test::same_bits(result.of_weight, results[0].of_weight));
      EXPECT_TRUE(test::same_bits(result.of_bias, results[0].of_bias));
    }
  }
}

TEST(Linear, gradients_can_be_differentiated) {
  const auto input = torch::rand({128, 784});
  const auto weight = torch::rand({128, 784}).requires_grad_();
  const auto second = [&](const torch::Tensor& output) {
    const auto gradient = torch::autograd::grad({output.square().sum()}, {weight}, {}, {}, true);
    return torch::autograd::grad({gradient[0].square().sum()}, {weight})[0];
  };
  const auto own = second(levin::linear(input, weight));
  EXPECT_TRUE(torch::allclose(own, second(torch::linear(input, weight)), 1e-3));
}

TEST(Linear, computes_only_the_gradients_that_are_needed) {
  const auto input = torch::rand({128, 784});
  const auto weight = torch::rand({128, 784});
  const auto bias = torch::rand({128}).requires_grad_();
  const auto output = levin::linear(input, weight, bias);
  output.sum().backward();
  EXPECT_TRUE(bias.grad().equal(torch::full({128}, 128.0)));
  EXPECT_FALSE(weight.grad().defined());
  EXPECT_FALSE(levin::linear(input, weight, bias.detach()).requires_grad());
}

TEST(Linear, works_in_inference_mode_and_leaves_other_types_to_libtorch) {
  const HelperThreads helpers(2);
  const auto input = torch::rand({128, 784});
  const auto weight = torch::rand({128, 784});
  const auto expected = torch::linear(input, weight);
  {
    const c10::InferenceMode inference;
    const auto output = levin::linear(input, weight);
    EXPECT_TRUE(output.is_inference());
    EXPECT_TRUE(torch::allclose(output, expected, 1e-4, 1e-4));
  }
  EXPECT_EQ(levin::linear(input.to(torch::kDouble), weight.to(torch::kDouble)).dtype(),
            torch::kDouble);
  EXPECT_EQ(levin::linear(input.view({2, 64, 784}), weight).sizes(),
            (std::vector<int64_t>{2, 64, 128}));
  EXPECT_TRUE(
      torch::allclose(levin::linear(input.t().contiguous().t(), weight), expected, 1e-4, 1e-4));
}

}  // namespace levin::linear_test
