// Sharded state of optimizers (ZeRO stage 1): row 50 of the requirements.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <levin/framework/checkpoint/slices.h>
#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/all.h>
#include <levin/framework/strategies/flat_parameters.h>
#include <levin/framework/strategies/sharded.h>

#include "distributed/sharding_net.h"
#include "framework/message_of.h"
#include "framework/support.h"

namespace levin::sharding_test {

using test::message_of;
using test::same_bits;
using test::says;

using Tensors = std::vector<torch::Tensor>;

/// Sizes that leave tails of every kind, one without dimensions and one without entries.
Tensors make_parameters(torch::ScalarType type) {
  auto generator = at::detail::createCPUGenerator(7);
  Tensors parameters;
  for (const std::vector<int64_t>& shape : std::vector<std::vector<int64_t>>{
           {3}, {130}, {33, 7}, {}, {0, 4}, {999, 3}, {16}, {33, 1001}}) {
    parameters.push_back(torch::randn(shape, generator, type).requires_grad_());
  }
  return parameters;
}

const Tensors& gradients_of(torch::ScalarType type, int step) {
  static std::map<std::pair<torch::ScalarType, int>, Tensors> made;
  auto& gradients = made[{type, step}];
  if (gradients.empty()) {
    for (const auto& parameter : make_parameters(type)) {
      gradients.push_back(torch::randn_like(parameter));
    }
  }
  return gradients;
}

/// One rank's share of an optimizer, without any exchange.
struct Share {
  Tensors parameters;
  std::unique_ptr<FlatParameters> flat;
  std::unique_ptr<Optimizer> optimizer;
};

using MakeOptimizer = std::function<std::unique_ptr<Optimizer>(const Tensors&)>;

Share make_share(const MakeOptimizer& make, torch::ScalarType type, int64_t rank, int64_t size) {
  Share share{make_parameters(type), nullptr, nullptr};
  share.optimizer = make(share.parameters);
  share.flat = std::make_unique<FlatParameters>(share.parameters, rank, size);
  share.optimizer->shard(share.flat->slices(), {});
  return share;
}

void step(Share& share, int number) {
  const auto& gradients = gradients_of(share.parameters[0].scalar_type(), number);
  share.optimizer->zero_grad();
  for (size_t i = 0; i < gradients.size(); ++i) {
    const auto& slice = share.flat->slices()[i];
    if (!slice.tensor.defined()) continue;
    slice.tensor.mutable_grad() =
        gradients[i].reshape({-1}).narrow(0, slice.begin, slice.tensor.numel()).clone();
  }
  share.optimizer->step();
}

void step_whole(Optimizer& optimizer, const Tensors& parameters, int number) {
  const auto& gradients = gradients_of(parameters[0].scalar_type(), number);
  for (size_t i = 0; i < gradients.size(); ++i) parameters[i].mutable_grad() = gradients[i].clone();
  optimizer.step();
}

std::map<std::string, MakeOptimizer> optimizers() {
  const auto of = [](auto make) {
    return [make](const Tensors& parameters) -> std::unique_ptr<Optimizer> {
      return std::make_unique<decltype(make(parameters))>(make(parameters));
    };
  };
  return {
      {"Adam", of([](const Tensors& p) { return Adam(p, {.learning_rate = 0.01}); })},
      {"Adam, amsgrad", of([](const Tensors& p) {
         return Adam(p, {.learning_rate = 0.01, .weight_decay = 0.1, .amsgrad = true});
       })},
      {"AdamW", of([](const Tensors& p) { return AdamW(p, {.learning_rate = 0.01}); })},
      {"SGD", of([](const Tensors& p) { return SGD(p, {.learning_rate = 0.1}); })},
      {"SGD, Nesterov", of([](const Tensors& p) {
         return SGD(
             p, {.learning_rate = 0.1, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true});
       })},
      {"RMSprop", of([](const Tensors& p) {
         return RMSprop(p, {.learning_rate = 0.01, .momentum = 0.9, .centered = true});
       })},
      {"Adagrad",
       of([](const Tensors& p) { return Adagrad(p, {.learning_rate = 0.01, .lr_decay = 0.1}); })},
  };
}

TEST(FlatParameters, keep_values_and_gradients) {
  torch::nn::Sequential net(torch::nn::Linear(5, 33), torch::nn::ReLU(), torch::nn::Linear(33, 1));
  const auto input = torch::randn({8, 5});
  net->forward(input).sum().backward();
  Tensors before;
  Tensors gradients;
  for (auto& parameter : net->parameters()) {
    before.push_back(parameter.detach().clone());
    gradients.push_back(parameter.grad().clone());
    parameter.mutable_grad().reset();
  }
  const auto parameters = net->parameters();
  FlatParameters flat(parameters, 1, 3);
  ASSERT_EQ(flat.buffers().size(), 1u);
  net->forward(input).sum().backward();
  for (size_t i = 0; i < parameters.size(); ++i) {
    EXPECT_TRUE(parameters[i].is_alias_of(flat.buffers()[0].flat)) << i;
    EXPECT_TRUE(same_bits(parameters[i], before[i])) << i;
    EXPECT_TRUE(same_bits(parameters[i].grad(), gradients[i])) << i;
  }
  flat.release();
  EXPECT_FALSE(parameters[0].is_alias_of(flat.buffers()[0].flat));
  EXPECT_TRUE(same_bits(parameters[0], before[0]));
}

TEST(FlatParameters, give_each_entry_to_one_rank_aligned_and_in_equal_shares) {
  for (const int64_t size : {1, 2, 3, 4, 7}) {
    for (const int64_t buffer_bytes : {0, 4000}) {
      const FlatParameters flat(make_parameters(torch::kFloat), 0, size, buffer_bytes);
      EXPECT_EQ(flat.buffers().size() > 1, buffer_bytes > 0);
      for (size_t i = 0; i < flat.parameters().size(); ++i) {
        int64_t reached = 0;
        int owners = 0;
        for (int64_t rank = 0; rank < size; ++rank) {
          const auto piece = flat.piece(i, rank);
          owners += piece.is_owned ? 1 : 0;
          if (piece.count == 0) continue;
          EXPECT_EQ(piece.in_parameter, reached);
          EXPECT_EQ(piece.in_parameter % 32, 0) << "not at a multiple of 128 bytes";
          EXPECT_LE(piece.in_chunk + piece.count, flat.buffers()[flat.place(i).buffer].chunk);
          reached += piece.count;
        }
        EXPECT_EQ(reached, flat.parameters()[i].numel());
        EXPECT_GE(owners, 1);
      }
    }
  }
}

// Row 50: sharing the step out changes no bit of it.
TEST(ShardedOptimizer, steps_to_the_same_bits_as_unsharded) {
  const int threads = at::get_num_threads();
  for (const auto& [name, make] : optimizers()) {
    at::set_num_threads(name == "AdamW" ? threads
                                        : 1);  // a few threads wait long on a busy machine
    for (const auto type : {torch::kFloat, torch::kDouble}) {
      const auto whole = make_parameters(type);
      const auto optimizer = make(whole);
      for (int number = 0; number < 3; ++number) step_whole(*optimizer, whole, number);
      for (int64_t size = 1; size <= 4; ++size) {
        for (int64_t rank = 0; rank < size; ++rank) {
          auto share = make_share(make, type, rank, size);
          for (int number = 0; number < 3; ++number) step(share, number);
          for (size_t i = 0; i < whole.size(); ++i) {
            const auto& slice = share.flat->slices()[i];
            if (!slice.tensor.defined()) continue;
            const auto expected =
                whole[i].detach().reshape({-1}).narrow(0, slice.begin, slice.tensor.numel());
            EXPECT_TRUE(same_bits(slice.tensor, expected))
                << name << ", parameter " << i << " " << whole[i].sizes() << ", rank " << rank
                << " of " << size << ": largest difference "
                << (slice.tensor - expected).abs().max();
          }
        }
      }
    }
  }
  at::set_num_threads(threads);
}

// Row 50: a rank holds about 1 / world_size of the state.
TEST(ShardedOptimizer, holds_its_share_of_the_state) {
  const auto make = optimizers().at("Adam");
  const auto whole = make_parameters(torch::kFloat);
  const auto optimizer = make(whole);
  step_whole(*optimizer, whole, 0);
  const int64_t all = bytes_of(optimizer->state_dict());
  for (const int64_t size : {2, 3, 4}) {
    int64_t sum = 0;
    for (int64_t rank = 0; rank < size; ++rank) {
      auto share = make_share(make, torch::kFloat, rank, size);
      step(share, 0);
      const int64_t bytes = bytes_of(share.optimizer->state_dict());
      std::printf("rank %d of %d: %d of %d bytes\n", static_cast<int>(rank), static_cast<int>(size),
                  static_cast<int>(bytes), static_cast<int>(all));
      EXPECT_LT(bytes, all / size + 4096);
      sum += bytes;
    }
    EXPECT_EQ(sum, all);
  }
}

TEST(ShardedOptimizer, goes_on_from_whole_state_that_it_had_before) {
  const auto make = optimizers().at("Adam");
  const auto whole = make_parameters(torch::kFloat);
  const auto optimizer = make(whole);
  step_whole(*optimizer, whole, 0);
  auto parameters = make_parameters(torch::kFloat);
  const auto other = make(parameters);
  step_whole(*other, parameters, 0);
  FlatParameters flat(parameters, 1, 2);
  other->shard(flat.slices(), {});
  Share share{parameters, nullptr, nullptr};
  share.flat = std::make_unique<FlatParameters>(std::move(flat));
  const auto& slice = share.flat->slices().front();
  ASSERT_TRUE(slice.tensor.defined());
  EXPECT_TRUE(same_bits(other->state_dict().tensor("0.exp_avg"),
                        optimizer->state_dict()
                            .tensor("0.exp_avg")
                            .reshape({-1})
                            .narrow(0, slice.begin, slice.tensor.numel())));
}

TEST(ShardedOptimizer, refuses_what_needs_whole_parameters) {
  const auto parameters = make_parameters(torch::kFloat);
  LBFGS lbfgs(parameters);
  EXPECT_TRUE(says(message_of<ConfigError>([&] { lbfgs.shard({}, {}); }), {"LBFGS", "AdamW"}));
  const auto adapted = adapt(std::make_unique<torch::optim::Adam>(parameters));
  EXPECT_TRUE(says(message_of<ConfigError>([&] { adapted->shard({}, {}); }), {"Adam", "ddp"}));
}

}  // namespace levin::sharding_test
