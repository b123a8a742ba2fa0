// The types of numbers of a run: what is converted, and what autocast computes in.
#include <levin/framework/precision/precision.h>

#include "framework/message_of.h"
#include "framework/support.h"

#include <gtest/gtest.h>

#include <levin/framework/core/error.h>

namespace levin::precision_test {

using test::message_of;
using test::says;

TEST(Precision, takes_lightnings_names_and_their_short_forms) {
  const std::pair<CountOrName, const char*> names[] = {{"32-true", "32-true"},
                                                       {"64-true", "64-true"},
                                                       {"bf16-true", "bf16-true"},
                                                       {"16-true", "16-true"},
                                                       {"bf16-mixed", "bf16-mixed"},
                                                       {"16-mixed", "16-mixed"},
                                                       {"bf16", "bf16-mixed"},
                                                       {"64", "64-true"},
                                                       {64, "64-true"},
                                                       {32, "32-true"},
                                                       {16, "16-mixed"}};
  for (const auto& [given, name] : names) EXPECT_EQ(Precision(given).name(), name);
  EXPECT_EQ(Precision().name(), "32-true");
  for (const CountOrName& wrong : {CountOrName(""), CountOrName("16-mxed"), CountOrName(8)}) {
    EXPECT_TRUE(says(message_of<ConfigError>([&] { Precision{wrong}; }), {"precision"}));
  }
  EXPECT_TRUE(says(message_of<ConfigError>([] { Trainer trainer({.precision = "16-mxed"}); }),
                   {"precision", "16-mixed"}));
}

TEST(Precision, converts_floating_point_parameters_and_buffers_only) {
  torch::nn::Sequential module(torch::nn::Linear(4, 3), torch::nn::BatchNorm1d(3));
  const auto parameters = module->parameters();
  parameters.front().mutable_grad() = torch::ones_like(parameters.front());
  Precision("32-true").convert(*module);
  Precision("16-mixed").convert(*module);
  EXPECT_TRUE(parameters.front().grad().defined());
  for (const auto& parameter : module->parameters()) EXPECT_EQ(parameter.dtype(), torch::kFloat);
  Precision("bf16-true").convert(*module);
  for (const auto& parameter : module->parameters()) {
    EXPECT_EQ(parameter.dtype(), torch::kBFloat16);
    EXPECT_TRUE(parameter.requires_grad());
    EXPECT_FALSE(parameter.grad().defined());
  }
  EXPECT_TRUE(parameters.front().is_same(module->parameters().front()));
  for (const auto& buffer : module->named_buffers()) {
    const bool is_count = buffer.key().ends_with("num_batches_tracked");
    EXPECT_EQ(buffer.value().scalar_type(), is_count ? torch::kLong : torch::kBFloat16);
  }
}

TEST(Precision, converts_the_floating_point_tensors_of_a_batch) {
  const auto make = [] {
    return Batch({{"input", torch::rand({4, 2}, torch::kDouble)},
                  {"target", torch::arange(4)},
                  {"weight", torch::rand({4})}});
  };
  const auto types = [&](const char* name) {
    Batch batch = make();
    const bool is_converted = Precision(name).convert(batch);
    EXPECT_EQ(batch.target().scalar_type(), torch::kLong);
    return std::tuple(is_converted, batch.input().scalar_type(), batch.weight().scalar_type());
  };
  EXPECT_EQ(types("32-true"), std::tuple(false, torch::kDouble, torch::kFloat));
  EXPECT_EQ(types("64-true"), std::tuple(true, torch::kDouble, torch::kDouble));
  EXPECT_EQ(types("16-true"), std::tuple(true, torch::kHalf, torch::kHalf));
  EXPECT_EQ(types("bf16-mixed"), std::tuple(true, torch::kFloat, torch::kFloat));
}

TEST(Precision, refuses_sparse_rows_in_two_bytes_by_name) {
  Batch batch;
  batch.set("input", Rows::sparse(torch::tensor({0, 1}, torch::kLong),
                                  torch::tensor({0}, torch::kInt), {}, 3));
  for (const char* name : {"64-true", "16-mixed"}) EXPECT_FALSE(Precision(name).convert(batch));
  EXPECT_TRUE(says(message_of<ConfigError>([&] { Precision("bf16-true").convert(batch); }),
                   {"bf16-true", "sparse", "input", "bf16-mixed"}));
}

TEST(Precision, autocast_ends_with_its_scope_and_forgets_copies_of_weights) {
  torch::nn::Linear layer(4, 3);
  const auto x = torch::rand({2, 4});
  {
    const AutocastScope scope(torch::kBFloat16, torch::kCPU);
    EXPECT_TRUE(is_autocast(torch::kCPU));
    EXPECT_EQ(layer(x).dtype(), torch::kBFloat16);
    {
      const AutocastScope inner(torch::kHalf, torch::kCPU);
      EXPECT_EQ(layer(x).dtype(), torch::kHalf);
    }
    EXPECT_EQ(layer(x).dtype(), torch::kBFloat16);
    const torch::NoGradGuard no_grad;
    layer->weight.zero_();
  }
  EXPECT_FALSE(is_autocast(torch::kCPU));
  EXPECT_EQ(layer(x).dtype(), torch::kFloat);
  const AutocastScope scope(torch::kBFloat16, torch::kCPU);
  EXPECT_TRUE(layer(x).eq(layer->bias.to(torch::kBFloat16)).all().item<bool>());
}

}  // namespace levin::precision_test
