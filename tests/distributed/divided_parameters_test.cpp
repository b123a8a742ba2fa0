// Parameters of which each rank, a thread of this process, keeps a part.
#include <levin/framework/strategies/divided_parameters.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/collectives/gloo.h>
#include <levin/framework/collectives/process_group.h>
#include <levin/framework/core/error.h>

#include "distributed/joined_ranks.h"

namespace levin::divided_parameters_test {

using Pass = DividedParameters::Pass;

/// Four layers in float64 of different sizes, with the same weights in every thread.
torch::nn::Sequential make_net() {
  torch::nn::Sequential net(torch::nn::Linear(5, 16), torch::nn::Tanh(), torch::nn::Linear(16, 24),
                            torch::nn::Tanh(), torch::nn::Linear(24, 8), torch::nn::Tanh(),
                            torch::nn::Linear(8, 3));
  net->to(torch::kDouble);
  const torch::NoGradGuard no_grad;
  int64_t number = 0;
  for (auto& parameter : net->parameters()) {
    parameter.copy_(
        (torch::arange(parameter.numel(), torch::kDouble) + 7 * number++).sin().view_as(parameter));
  }
  return net;
}

NamedTensors named(const torch::nn::Sequential& net) {
  NamedTensors all;
  for (const auto& item : net->named_parameters()) all.emplace_back(item.key(), item.value());
  return all;
}

torch::Tensor input_of(int64_t rank) {
  return torch::linspace(-1.0, 1.0 + static_cast<double>(rank), 20, torch::kDouble).view({4, 5});
}

/// The gradients of a net whose parameters are whole.
std::vector<torch::Tensor> expected_gradients(int64_t rank) {
  auto net = make_net();
  net->forward(input_of(rank)).square().mean().backward();
  std::vector<torch::Tensor> gradients;
  for (const auto& parameter : net->parameters()) gradients.push_back(parameter.grad());
  return gradients;
}

/// A training step of this rank without an update; returns the loss. Without rows if `has_rows` is
/// false.
torch::Tensor step(DividedParameters& divided, torch::nn::Sequential& net, int64_t rank,
                   bool has_rows = true) {
  torch::Tensor loss;
  divided.begin(Pass::forward);
  if (has_rows) loss = net->forward(input_of(rank)).square().mean();
  divided.end();
  divided.begin(Pass::backward);
  if (has_rows) loss.backward();
  divided.end();
  return loss;
}

class DividedParametersTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_gloo()) GTEST_SKIP() << "this build has no Gloo";
  }
};

// "Optimizer state sharded (ZeRO)": row 50, stage 3.
TEST_F(DividedParametersTest, passes_give_the_gradients_of_whole_parameters) {
  for (const int64_t ranks : {2, 3}) {
    test::on_ranks(ranks, [](ProcessGroup& group) {
      ProcessGroup own(group, "parameters");
      auto net = make_net();
      DividedParameters divided(&own, named(net), {.unit_bytes = 1});
      const auto expected = expected_gradients(group.rank());
      for (int repeat = 0; repeat < 3; ++repeat) {  // the order is remembered from the first on
        net->zero_grad();
        step(divided, net, group.rank());
        const auto parameters = net->parameters();
        for (size_t i = 0; i < parameters.size(); ++i) {
          EXPECT_TRUE(torch::equal(parameters[i].grad(), expected[i])) << i << " in " << repeat;
        }
      }
    });
  }
}

TEST_F(DividedParametersTest, a_rank_holds_its_part_and_at_most_two_layers) {
  test::on_ranks(2, [](ProcessGroup& group) {
    ProcessGroup own(group, "parameters");
    auto net = make_net();
    DividedParameters divided(&own, named(net), {.unit_bytes = 1});
    EXPECT_EQ(divided.units(), 4U);
    EXPECT_EQ(divided.gathered_bytes(), 0);
    for (int repeat = 0; repeat < 2; ++repeat) step(divided, net, group.rank());
    EXPECT_EQ(divided.gathered_bytes(), 0);
    auto sizes = divided.unit_sizes();
    std::sort(sizes.rbegin(), sizes.rend());
    EXPECT_GE(divided.most_gathered_bytes(), sizes[0]);
    EXPECT_LE(divided.most_gathered_bytes(), sizes[0] + sizes[1]);
    int64_t kept = 0;
    for (const auto& parameter : net->parameters()) {
      const auto* slice = divided.slice_of(parameter);
      ASSERT_NE(slice, nullptr);
      if (slice->tensor.defined()) kept += slice->tensor.numel();
    }
    int64_t all = 0;
    for (const auto& parameter : net->parameters()) all += parameter.numel();
    EXPECT_LT(kept, all * 3 / 4);
  });
}

TEST_F(DividedParametersTest, a_step_sends_each_layer_once_in_each_direction) {
  test::on_ranks(2, [](ProcessGroup& group) {
    ProcessGroup own(group, "parameters");
    auto net = make_net();
    DividedParameters divided(&own, named(net), {.unit_bytes = 1});
    for (int repeat = 0; repeat < 2; ++repeat) step(divided, net, group.rank());
    const int64_t before = divided.sent_bytes();
    step(divided, net, group.rank());
    const auto sizes = divided.unit_sizes();
    const auto halves = std::accumulate(sizes.begin(), sizes.end(), int64_t{0}) / 2;
    // The backward pass finds the last layer of the forward pass, and needs no weights of the first
    // layer, whose input has no gradient. At the end of a pass, ranks agree that nothing is left.
    const int64_t agreements = 2 * 8;
    EXPECT_EQ(divided.sent_bytes() - before,
              2 * halves - sizes.front() / 2 - sizes.back() / 2 + agreements);
  });
}

TEST_F(DividedParametersTest, ranks_may_use_other_layers_or_none) {
  test::on_ranks(2, [](ProcessGroup& group) {
    ProcessGroup own(group, "parameters");
    auto net = make_net();
    DividedParameters divided(&own, named(net), {.unit_bytes = 1});
    const auto expected = expected_gradients(group.rank());
    for (int repeat = 0; repeat < 4; ++repeat) {
      const bool has_rows = repeat % 2 == 1 || group.rank() == 0;  // rank 1 begins without any
      net->zero_grad();
      step(divided, net, group.rank(), has_rows);
      for (size_t i = 0; i < expected.size(); ++i) {
        const auto gradient = net->parameters()[i].grad();
        if (has_rows) {
          EXPECT_TRUE(torch::equal(gradient, expected[i])) << i << " in " << repeat;
        } else {
          EXPECT_FALSE(gradient.defined());
        }
      }
    }
    divided.begin(Pass::evaluation);
    {
      const torch::NoGradGuard no_grad;  // one layer each, not the same
      const auto& layer = group.rank() == 0 ? net[0] : net[2];
      const auto sum = layer->parameters()[0].sum().item<double>();
      EXPECT_NEAR(sum, make_net()[group.rank() == 0 ? 0 : 2]->parameters()[0].sum().item<double>(),
                  1e-12);
    }
    divided.end();
  });
}

TEST_F(DividedParametersTest, a_change_of_the_slices_is_a_change_of_the_parameters) {
  test::on_ranks(2, [](ProcessGroup& group) {
    ProcessGroup own(group, "parameters");
    auto net = make_net();
    DividedParameters divided(&own, named(net), {.unit_bytes = 1});
    step(divided, net, group.rank());
    for (const auto& slice : divided.trained()->slices()) {
      if (slice.tensor.defined()) slice.tensor.data().mul_(2.0);
    }
    divided.release();
    const auto before = make_net()->parameters();
    for (size_t i = 0; i < before.size(); ++i) {
      EXPECT_TRUE(torch::equal(net->parameters()[i].detach(), before[i].detach() * 2.0)) << i;
    }
  });
}

// Row 50: evaluations need no more memory than training steps.
TEST_F(DividedParametersTest, evaluations_gather_a_layer_ahead_and_hold_at_most_two) {
  test::on_ranks(2, [](ProcessGroup& group) {
    ProcessGroup own(group, "parameters");
    auto net = make_net();
    DividedParameters divided(&own, named(net), {.unit_bytes = 1});
    const auto owners = memory_owners_of(net->parameters());
    ASSERT_EQ(owners.size(), 1U);
    const torch::NoGradGuard no_grad;
    const auto expected = make_net()->forward(input_of(group.rank()));
    const auto sizes = divided.unit_sizes();
    const auto all = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
    for (int repeat = 0; repeat < 3; ++repeat) {
      const int64_t before = divided.sent_bytes();
      const bool has_rows = repeat < 2 || group.rank() == 0;  // rank 1 runs out of rows
      GatheredStep step(owners);
      if (has_rows) {
        EXPECT_TRUE(torch::equal(net->forward(input_of(group.rank())), expected)) << repeat;
      }
      step.end();
      EXPECT_EQ(divided.gathered_bytes(), 0);
      // In the first step, ranks agree on each of the four units; later, that nothing is left.
      EXPECT_EQ(divided.sent_bytes() - before, all / 2 + 8 * (repeat == 0 ? 5 : 1)) << repeat;
    }
    auto sorted = sizes;
    std::sort(sorted.rbegin(), sorted.rend());
    EXPECT_LE(divided.most_gathered_bytes(), sorted[0] + sorted[1]);
    EXPECT_LT(divided.most_gathered_bytes(), all);
    { const GatheredStep failed(owners); }
    EXPECT_THROW(net->parameters()[0].sum(), ModuleError);
    {
      const WholeTensors whole(net->parameters());  // a step within finds what is whole already
      GatheredStep step(owners);
      EXPECT_TRUE(torch::equal(net->forward(input_of(group.rank())), expected));
      step.end();
      EXPECT_TRUE(torch::equal(net->forward(input_of(group.rank())), expected));
    }
  });
}

TEST_F(DividedParametersTest, slices_are_found_by_what_shares_their_memory) {
  test::on_ranks(2, [](ProcessGroup& group) {
    ProcessGroup own(group, "parameters");
    auto net = make_net();
    DividedParameters divided(&own, named(net), {.unit_bytes = 1});
    for (const auto& parameter : net->parameters()) {
      ASSERT_NE(divided.slice_of(parameter), nullptr);
      EXPECT_EQ(divided.slice_of(parameter.detach()), divided.slice_of(parameter));
    }
    EXPECT_EQ(divided.slice_of(torch::ones({5})), nullptr);
  });
}

TEST_F(DividedParametersTest, values_outside_of_steps_need_whole_tensors) {
  test::on_ranks(2, [](ProcessGroup& group) {
    ProcessGroup own(group, "parameters");
    auto net = make_net();
    DividedParameters divided(&own, named(net), {.unit_bytes = 1});
    const torch::NoGradGuard no_grad;
    EXPECT_THROW(net->parameters()[0].sum(), ModuleError);
    {
      const WholeTensors whole(net->parameters());
      EXPECT_TRUE(torch::equal(net->parameters()[0], make_net()->parameters()[0]));
      for (auto& parameter : net->parameters()) parameter.add_(1.0);
    }
    EXPECT_EQ(divided.gathered_bytes(), 0);
    EXPECT_THROW(net->parameters()[0].sum(), ModuleError);
    divided.begin(Pass::forward);
    EXPECT_THROW(WholeTensors(net->parameters()), ModuleError) << "other ranks may be elsewhere";
    divided.end();
    divided.begin(Pass::backward);
    divided.end();
    const auto kept = net->parameters()[2].detach();  // as a checkpoint to be written later has
    divided.release();
    EXPECT_TRUE(torch::equal(net->parameters()[2], make_net()->parameters()[2] + 1.0));
    EXPECT_TRUE(torch::equal(kept, net->parameters()[2]));
  });
}

}  // namespace levin::divided_parameters_test
