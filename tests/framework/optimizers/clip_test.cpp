// Gradient clipping against PyTorch's: tests/baselines/clip.json.

#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>
#include <nlohmann/json.hpp>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/clip.h>

namespace clip_test {

using nlohmann::json;

const json& baseline() {
  static const json content = [] {
    std::ifstream file(LEVIN_SOURCE_DIR "/tests/baselines/clip.json");
    return json::parse(file);
  }();
  return content;
}

torch::Tensor to_tensor(const json& numbers) {
  std::vector<int64_t> sizes;
  for (const json* level = &numbers; level->is_array(); level = &level->front()) {
    sizes.push_back(static_cast<int64_t>(level->size()));
  }
  std::vector<double> values;
  for (const auto& number : numbers.flatten()) values.push_back(number.get<double>());
  return torch::tensor(values, torch::kDouble).view(sizes);
}

std::vector<torch::Tensor> parameters_with(const std::string& problem) {
  std::vector<torch::Tensor> parameters;
  for (const auto& each : baseline()["problems"]) {
    if (each["name"] != problem) continue;
    for (const auto& numbers : each["grads"]) {
      const auto gradient = to_tensor(numbers);
      parameters.push_back(torch::zeros_like(gradient).requires_grad_());
      parameters.back().mutable_grad() = gradient;
    }
  }
  return parameters;
}

void expect_gradients(const std::vector<torch::Tensor>& parameters, const json& expected) {
  ASSERT_EQ(parameters.size(), expected.size());
  for (size_t i = 0; i < parameters.size(); ++i) {
    EXPECT_TRUE(torch::allclose(parameters[i].grad(), to_tensor(expected[i]), 1e-13, 1e-13))
        << parameters[i].grad() << expected[i];
  }
}

TEST(OptimizersClip, by_norm_agrees_with_pytorch) {
  for (const auto& test_case : baseline()["by_norm"]) {
    const auto parameters = parameters_with(test_case["grads"]);
    const std::string type = test_case["norm_type"];
    const auto norm = levin::clip_grad_norm(
        parameters, test_case["clip_val"],
        type == "inf" ? std::numeric_limits<double>::infinity() : std::stod(type));
    EXPECT_NEAR(norm.item<double>(), test_case["norm"].get<double>(), 1e-12);
    expect_gradients(parameters, test_case["clipped"]);
  }
}

TEST(OptimizersClip, by_value_agrees_with_pytorch) {
  for (const auto& test_case : baseline()["by_value"]) {
    const auto parameters = parameters_with(test_case["grads"]);
    levin::clip_grad_value(parameters, test_case["clip_val"]);
    expect_gradients(parameters, test_case["clipped"]);
  }
}

TEST(OptimizersClip, sparse_gradients_count_each_entry_once) {
  auto a = torch::zeros({4}, torch::kDouble).requires_grad_();
  a.mutable_grad() =
      torch::sparse_coo_tensor(torch::tensor({{1, 1, 2}}), torch::tensor({1.0, 2.0, 4.0}), {4});
  const auto norm = levin::clip_grad_norm({a}, 2.5);
  EXPECT_DOUBLE_EQ(norm.item<double>(), 5.0);
  EXPECT_NEAR(a.grad().to_dense()[2].item<double>(), 2.0, 1e-6);
  levin::clip_grad_value({a}, 1.0);
  EXPECT_DOUBLE_EQ(a.grad().to_dense().max().item<double>(), 1.0);
}

TEST(OptimizersClip, nothing_to_clip_is_norm_zero) {
  auto a = torch::zeros({4}).requires_grad_();
  EXPECT_EQ(levin::clip_grad_norm({a}, 1.0).item<double>(), 0.0);
  levin::clip_grad_value({a}, 1.0);
}

TEST(OptimizersClip, a_norm_that_is_not_finite_shows) {
  auto a = torch::zeros({2}).requires_grad_();
  a.mutable_grad() = torch::full({2}, std::numeric_limits<float>::quiet_NaN());
  EXPECT_TRUE(levin::clip_grad_norm({a}, 1.0).isnan().item<bool>());
  EXPECT_TRUE(a.grad().isnan().all().item<bool>());
}

TEST(OptimizersClip, bounds_that_cannot_be_are_refused) {
  auto a = torch::zeros({2}).requires_grad_();
  EXPECT_THROW(levin::clip_grad_norm({a}, -1.0), levin::ConfigError);
  EXPECT_THROW(levin::clip_grad_norm({a}, 1.0, 0.0), levin::ConfigError);
  EXPECT_THROW(levin::clip_grad_value({a}, -1.0), levin::ConfigError);
}

// The factor may be known only to the device.
TEST(OptimizersClip, scaling_by_a_tensor_gives_the_bits_of_scaling_by_a_number) {
  using Types = std::vector<torch::ScalarType>;
  for (const Types& types : {Types{torch::kFloat}, Types{torch::kDouble}, Types{torch::kBFloat16},
                             Types{torch::kFloat, torch::kDouble, torch::kHalf}}) {
    for (const double factor : {10.0 / 7.0, 1.0, 1.0 / 3.0}) {
      std::vector<torch::Tensor> parameters;
      std::vector<torch::Tensor> expected;
      for (const auto type : types) {
        for (const std::vector<int64_t>& shape : std::vector<std::vector<int64_t>>{{33, 7}, {}}) {
          parameters.push_back(torch::zeros(shape, type).requires_grad_());
          parameters.back().mutable_grad() = torch::randn(shape).to(type);
          expected.push_back(parameters.back().grad() * factor);
        }
      }
      parameters.push_back(torch::zeros({3}).requires_grad_());  // without a gradient
      levin::scale_gradients(parameters, torch::tensor(factor, torch::kDouble));
      for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_TRUE(torch::equal(parameters[i].grad(), expected[i])) << i << " by " << factor;
      }
    }
  }
}

TEST(OptimizersClip, scaling_by_a_tensor_scales_sparse_gradients) {
  auto parameter = torch::zeros({4, 2}, torch::kDouble).requires_grad_();
  const auto indices = torch::tensor({1, 3, 1}).view({1, 3});
  parameter.mutable_grad() =
      torch::sparse_coo_tensor(indices, torch::ones({3, 2}, torch::kDouble), {4, 2});
  levin::scale_gradients({parameter}, torch::tensor(0.5, torch::kDouble));
  EXPECT_TRUE(torch::equal(parameter.grad().to_dense().select(1, 0),
                           torch::tensor({0.0, 1.0, 0.0, 0.5}, torch::kDouble)));
}

}  // namespace clip_test
