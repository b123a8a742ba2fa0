#include <levin/framework/nn/sync_batch_norm.h>

#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/collectives/gloo.h>
#include <levin/framework/core/error.h>
#include <levin/framework/tensor/device.h>

#include "distributed/joined_ranks.h"
#include "framework/message_of.h"

// Batch norm over ranks, each a thread of this process, against torch's on the whole batch.

namespace levin::sync_batch_norm_test {

using test::on_ranks;
using test::says;

constexpr int64_t kChannels = 3;
constexpr double kTolerance = 1e-12;

double difference(const torch::Tensor& a, const torch::Tensor& b) {
  if (a.numel() == 0) return b.numel() == 0 ? 0.0 : 1.0;
  return (a.detach().cpu() - b.detach().cpu()).abs().max().item<double>();
}

/// `rows` rows of [3] or [3, 4, 5], far from zero, the same for everybody.
torch::Tensor points(int64_t rows, bool images) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(7);
  std::vector<int64_t> sizes{rows, kChannels};
  if (images) sizes.insert(sizes.end(), {4, 5});
  return torch::randn(sizes, generator, torch::kDouble) * 2.0 + 100.0;
}

/// A net around a norm, so that what comes to it and from it isn't trivial.
template <class Norm, class Options>
struct NetAround : torch::nn::Module {
  explicit NetAround(const Options& options) : norm(options) {
    register_module("norm", norm);
    to(torch::kDouble);
    const torch::NoGradGuard no_grad;
    for (auto& parameter : parameters()) {
      parameter.copy_(torch::linspace(0.5, 1.5, parameter.numel(), torch::kDouble));
    }
  }
  /// The sum over rows of a loss, which weighted by 1 / (rows of all) is the mean.
  torch::Tensor loss(const torch::Tensor& output) const { return output.sin().pow(2).sum(); }
  Norm norm;
};
using Net = NetAround<SyncBatchNorm, SyncBatchNormOptions>;
template <class Norm>
using TorchNet = NetAround<Norm, torch::nn::BatchNormOptions>;

/// What a training step leaves behind: of all rows, or of one rank's.
struct Result {
  torch::Tensor output, input_gradient, weight_gradient, bias_gradient;
  torch::Tensor running_mean, running_var, count;
};

template <class AnyNet>
Result step(AnyNet& net, const torch::Tensor& rows, double all_rows) {
  auto input = rows.clone().requires_grad_();
  const auto output = net.norm(input);
  net.zero_grad();
  (net.loss(output) / all_rows).backward();
  Result result;
  result.output = output.detach();
  result.input_gradient = input.grad();
  if (net.norm->weight.defined()) {
    result.weight_gradient = net.norm->weight.grad();
    result.bias_gradient = net.norm->bias.grad();
  }
  if (net.norm->running_mean.defined()) {
    result.running_mean = net.norm->running_mean.clone();
    result.running_var = net.norm->running_var.clone();
    result.count = net.norm->num_batches_tracked.clone();
  }
  return result;
}

/// Trains two steps with each rank's share of the rows, and compares with torch on all of them.
void expect_as_one(const std::vector<int64_t>& shares, const SyncBatchNormOptions& options,
                   bool images) {
  int64_t total = 0;
  for (const int64_t share : shares) total += share;
  const auto all = points(2 * total, images);
  Net whole(options);  // joined to nobody: at::batch_norm
  std::vector<Result> expected;
  for (int64_t i = 0; i < 2; ++i) {
    expected.push_back(step(whole, all.narrow(0, i * total, total), static_cast<double>(total)));
  }
  on_ranks(static_cast<int64_t>(shares.size()), [&](ProcessGroup& group) {
    Net net(options);
    SyncBatchNorms norms(net, group);
    const auto rank = static_cast<size_t>(group.rank());
    int64_t first = 0;
    for (size_t r = 0; r < rank; ++r) first += shares[r];
    for (int64_t i = 0; i < 2; ++i) {
      const auto own = all.narrow(0, i * total + first, shares[rank]);
      auto result = step(net, own, static_cast<double>(total));
      norms.end_batch(true);
      const auto& one = expected[static_cast<size_t>(i)];
      const auto part = [&](const torch::Tensor& tensor) {
        return tensor.narrow(0, first, shares[rank]);
      };
      EXPECT_LE(difference(result.output, part(one.output)), kTolerance);
      EXPECT_LE(difference(result.input_gradient, part(one.input_gradient)), kTolerance);
      if (options.affine) {
        group.all_reduce(result.weight_gradient);  // as gradients are
        group.all_reduce(result.bias_gradient);
        EXPECT_LE(difference(result.weight_gradient, one.weight_gradient), kTolerance);
        EXPECT_LE(difference(result.bias_gradient, one.bias_gradient), kTolerance);
      }
      if (options.track_running_stats) {
        EXPECT_LE(difference(result.running_mean, one.running_mean), kTolerance);
        EXPECT_LE(difference(result.running_var, one.running_var), kTolerance);
        EXPECT_EQ(result.count.item<int64_t>(), i + 1);
      }
    }
  });
}

class SyncBatchNormTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_gloo()) GTEST_SKIP() << "this build has no Gloo";
  }
};

const SyncBatchNormOptions kPlain{.num_features = kChannels};

// Row 35: what one process computes on the whole batch.
TEST_F(SyncBatchNormTest, ranks_with_any_number_of_rows_agree_with_one_process) {
  for (const bool images : {false, true}) {
    for (const auto& shares :
         std::vector<std::vector<int64_t>>{{6}, {5, 5}, {7, 2}, {4, 1, 6}, {3, 0, 2}, {0, 8}}) {
      SCOPED_TRACE(testing::Message() << testing::PrintToString(shares) << " images " << images);
      expect_as_one(shares, kPlain, images);
    }
  }
}

TEST_F(SyncBatchNormTest, every_option_holds_over_ranks) {
  auto cumulative = kPlain;
  cumulative.momentum = std::nullopt;
  expect_as_one({4, 1, 6}, cumulative, false);
  auto fixed = kPlain;
  fixed.affine = false;
  expect_as_one({4, 1, 6}, fixed, true);
  auto forgetful = kPlain;
  forgetful.track_running_stats = false;
  expect_as_one({4, 1, 6}, forgetful, false);
  auto rough = kPlain;
  rough.eps = 0.5;
  rough.momentum = 0.7;
  expect_as_one({4, 1, 6}, rough, false);
}

template <class Norm>
void expect_torchs_numbers(Norm theirs, SyncBatchNorm ours, bool images) {
  theirs->to(torch::kDouble);
  ours->to(torch::kDouble);
  const auto batches = points(30, images);
  for (int64_t i = 0; i < 5; ++i) {
    const bool learns = i < 3;
    theirs->train(learns);
    ours->train(learns);
    const auto rows = batches.narrow(0, 6 * i, 6);
    auto input_a = rows.clone().requires_grad_();
    auto input_b = rows.clone().requires_grad_();
    const auto a = theirs(input_a);
    const auto b = ours(input_b);
    a.sin().sum().backward();
    b.sin().sum().backward();
    EXPECT_TRUE(torch::equal(a, b));
    EXPECT_TRUE(torch::equal(input_a.grad(), input_b.grad()));
  }
  const auto expected = theirs->named_buffers();
  const auto buffers = ours->named_buffers();
  ASSERT_EQ(buffers.keys(), expected.keys());
  for (const auto& item : expected) EXPECT_TRUE(torch::equal(buffers[item.key()], item.value()));
  const auto parameters = ours->named_parameters();
  ASSERT_EQ(parameters.keys(), theirs->named_parameters().keys());
  for (const auto& item : theirs->named_parameters()) {
    EXPECT_TRUE(torch::equal(parameters[item.key()].grad(), item.value().grad()));
  }
}

TEST_F(SyncBatchNormTest, joined_to_nobody_or_to_one_rank_it_is_torchs_batch_norm) {
  using torch::nn::BatchNormOptions;
  const auto compare = [] {
    expect_torchs_numbers(torch::nn::BatchNorm1d(kChannels), SyncBatchNorm(kChannels), false);
    expect_torchs_numbers(torch::nn::BatchNorm2d(kChannels), SyncBatchNorm(kChannels), true);
    expect_torchs_numbers(
        torch::nn::BatchNorm1d(BatchNormOptions(kChannels).momentum(std::nullopt).eps(0.1)),
        SyncBatchNorm(SyncBatchNormOptions{kChannels, 0.1, std::nullopt}), false);
  };
  compare();
  on_ranks(1, [&](ProcessGroup& group) {
    const SyncBatchNorm norm(kChannels);
    torch::nn::Sequential net{norm};
    const SyncBatchNorms norms(*net, group);
    EXPECT_FALSE(norms.empty());
    expect_torchs_numbers(torch::nn::BatchNorm1d(kChannels), norm, false);
  });
}

TEST_F(SyncBatchNormTest, evaluation_exchanges_nothing) {
  const auto rows = points(6, false);
  Net whole(kPlain);
  step(whole, rows, 6.0);
  whole.eval();
  const auto expected = whole.norm(rows);
  on_ranks(2, [&](ProcessGroup& group) {
    Net net(kPlain);
    SyncBatchNorms norms(net, group);
    step(net, rows.narrow(0, group.rank() * 3, 3), 6.0);
    norms.end_batch(true);
    net.eval();
    const auto own = rows.narrow(0, 0, 6 - 2 * group.rank());
    EXPECT_LE(difference(net.norm(own), expected.narrow(0, 0, own.size(0))), kTolerance);
    if (group.rank() == 0) net.norm(rows);  // once more than the other
  });
}

/// Two norms, called in the other order than they were registered, one of them twice.
struct Deep : torch::nn::Module {
  Deep() : late(4), early(kChannels), linear(kChannels, 4) {
    register_module("late", late);
    register_module("early", early);
    register_module("linear", linear);
    to(torch::kDouble);
    const torch::NoGradGuard no_grad;
    for (auto& parameter : parameters()) {
      parameter.copy_(
          torch::linspace(0.5, 1.5, parameter.numel(), torch::kDouble).view(parameter.sizes()));
    }
  }
  torch::Tensor loss(const torch::Tensor& rows) {
    return late(late(linear(early(rows))).tanh()).sin().pow(2).sum();
  }
  SyncBatchNorm late, early;
  torch::nn::Linear linear;
};

// Rows 35 and 48 in part: uneven tails and skipped batches don't hang.
TEST_F(SyncBatchNormTest, a_rank_without_rows_or_that_skips_stands_in_without_the_model) {
  const auto all = points(24, false);
  Deep whole;
  whole.loss(all.narrow(0, 0, 8)).backward();
  whole.zero_grad();
  whole.loss(all.narrow(0, 8, 8)).backward();
  const auto expected = whole.parameters();
  const auto buffers = whole.named_buffers();
  on_ranks(3, [&](ProcessGroup& group) {
    Deep net;
    SyncBatchNorms norms(net, group);
    const auto rank = group.rank();
    const int64_t first[] = {0, 3, 6};
    const int64_t rows[] = {3, 3, 2};
    net.loss(all.narrow(0, first[rank], rows[rank])).backward();
    norms.end_batch(true);
    net.zero_grad();
    if (rank == 1) {
      norms.end_batch(false);  // has no rows
    } else {
      net.loss(all.narrow(0, rank == 0 ? 8 : 13, rank == 0 ? 5 : 3)).backward();
      norms.end_batch(true);
    }
    const auto parameters = net.parameters();
    for (size_t i = 0; i < parameters.size(); ++i) {
      auto sum = rank == 1 ? torch::zeros_like(parameters[i]) : parameters[i].grad().clone();
      group.all_reduce(sum);
      EXPECT_LE(difference(sum, expected[i].grad()), kTolerance);
    }
    for (const auto& item : net.named_buffers()) {
      EXPECT_LE(difference(item.value(), buffers[item.key()]), kTolerance) << item.key();
    }
    // A rank that skips after its forward pass; then all go on together.
    const auto loss = net.loss(all.narrow(0, 16 + 2 * rank, 2));
    if (rank != 0) loss.backward();
    norms.end_batch(rank != 0);
    net.loss(all.narrow(0, 16 + 2 * rank, 2)).backward();
    norms.end_batch(true);
  });
}

TEST_F(SyncBatchNormTest, a_rank_without_rows_in_the_first_batch_stands_in) {
  const auto rows = points(8, false);
  Net whole(kPlain);
  const Result expected = step(whole, rows, 8.0);
  on_ranks(2, [&](ProcessGroup& group) {
    Net net(kPlain);
    SyncBatchNorms norms(net, group);
    if (group.rank() == 0) {
      norms.end_batch(false);
    } else {
      EXPECT_LE(difference(step(net, rows, 8.0).input_gradient, expected.input_gradient),
                kTolerance);
      norms.end_batch(true);
    }
    EXPECT_LE(difference(net.norm->running_var, expected.running_var), kTolerance);
  });
}

/// Trains two steps on ranks with LibTorch's layer, converted, and compares with one process.
template <class Norm>
void expect_torchs_layer_as_one(const torch::nn::BatchNormOptions& options, bool images) {
  const std::vector<int64_t> shares{5, 2, 3};
  const auto all = points(20, images);
  on_ranks(3, [&](ProcessGroup& group) {
    const auto rank = static_cast<size_t>(group.rank());
    TorchNet<Norm> net(options), alone(options);
    SyncBatchNorms norms(net, group, /*converts=*/true);
    EXPECT_FALSE(norms.empty());
    int64_t first = 0;
    for (size_t r = 0; r < rank; ++r) first += shares[r];
    for (int64_t i = 0; i < 2; ++i) {
      const auto own = all.narrow(0, i * 10 + first, shares[rank]);
      const auto result = step(net, own, 10.0);
      norms.end_batch(true);
      const auto expected = step(alone, all.narrow(0, i * 10, 10), 10.0);
      EXPECT_LE(difference(result.output, expected.output.narrow(0, first, shares[rank])),
                kTolerance);
      EXPECT_LE(
          difference(result.input_gradient, expected.input_gradient.narrow(0, first, shares[rank])),
          kTolerance);
      for (auto [sum, one] : {std::pair(result.weight_gradient, expected.weight_gradient),
                              std::pair(result.bias_gradient, expected.bias_gradient)}) {
        if (!one.defined()) continue;
        group.all_reduce(sum);
        EXPECT_LE(difference(sum, one), kTolerance);
      }
      if (!options.track_running_stats()) continue;
      EXPECT_LE(difference(result.running_mean, expected.running_mean), kTolerance);
      EXPECT_LE(difference(result.running_var, expected.running_var), kTolerance);
      EXPECT_EQ(result.count.template item<int64_t>(), i + 1);
    }
  });
}

// Layers of LibTorch that are told to: `alone`, another such layer at the same time, isn't.
TEST_F(SyncBatchNormTest, layers_of_torch_may_be_joined_as_they_are) {
  using torch::nn::BatchNorm1d, torch::nn::BatchNorm2d;
  using torch::nn::BatchNormOptions;
  expect_torchs_layer_as_one<BatchNorm1d>(BatchNormOptions(kChannels), false);
  expect_torchs_layer_as_one<BatchNorm2d>(BatchNormOptions(kChannels), true);
  expect_torchs_layer_as_one<BatchNorm1d>(BatchNormOptions(kChannels).momentum(std::nullopt),
                                          false);
  expect_torchs_layer_as_one<BatchNorm1d>(BatchNormOptions(kChannels).affine(false), false);
  expect_torchs_layer_as_one<BatchNorm1d>(
      BatchNormOptions(kChannels).track_running_stats(false).eps(0.1), false);
}

TEST_F(SyncBatchNormTest, layers_of_torch_are_their_own_again_afterwards_and_in_evaluation) {
  const auto all = points(8, false);
  on_ranks(2, [&](ProcessGroup& group) {
    torch::nn::Sequential net{torch::nn::BatchNorm1d(kChannels)};
    torch::nn::Sequential other{torch::nn::BatchNorm1d(kChannels)};
    net->to(torch::kDouble);
    other->to(torch::kDouble);
    const auto own = all.narrow(0, 4 * group.rank(), 4);
    const auto expected = other->forward(own);
    {
      const SyncBatchNorms norms(*net, group, /*converts=*/true);
      net->eval();
      if (group.rank() == 0) net->forward(own);  // by itself: nothing is exchanged
      net->train();
    }
    EXPECT_LE(difference(net->forward(own), expected), kTolerance);
  });
}

TEST_F(SyncBatchNormTest, a_rank_without_rows_stands_in_for_layers_of_torch) {
  const auto rows = points(8, false);
  TorchNet<torch::nn::BatchNorm1d> whole{torch::nn::BatchNormOptions(kChannels)};
  const Result expected = step(whole, rows, 8.0);
  on_ranks(2, [&](ProcessGroup& group) {
    TorchNet<torch::nn::BatchNorm1d> net{torch::nn::BatchNormOptions(kChannels)};
    SyncBatchNorms norms(net, group, /*converts=*/true);
    if (group.rank() == 0) {
      norms.end_batch(false);
    } else {
      EXPECT_LE(difference(step(net, rows, 8.0).input_gradient, expected.input_gradient),
                kTolerance);
      norms.end_batch(true);
    }
    EXPECT_LE(difference(net.norm->running_var, expected.running_var), kTolerance);
    EXPECT_EQ(net.norm->num_batches_tracked.item<int64_t>(), 1);
  });
}

TEST_F(SyncBatchNormTest, a_layer_of_torch_that_could_not_be_known_again_is_refused) {
  on_ranks(2, [](ProcessGroup& group) {
    torch::nn::Sequential net{torch::nn::BatchNorm1d(
        torch::nn::BatchNormOptions(kChannels).affine(false).track_running_stats(false))};
    EXPECT_TRUE(
        says(test::message_of<ConfigError>([&] { SyncBatchNorms(*net, group, /*converts=*/true); }),
             {"sync_batchnorm", "levin::SyncBatchNorm"}));
  });
}

TEST_F(SyncBatchNormTest, a_layer_that_is_registered_twice_is_one_layer) {
  const auto rows = points(8, false);
  Net whole(kPlain);
  const Result expected = step(whole, rows, 8.0);
  on_ranks(2, [&](ProcessGroup& group) {
    Net net(kPlain);
    net.register_module("same_norm", net.norm);
    SyncBatchNorms norms(net, group);
    if (group.rank() == 0) {
      norms.end_batch(false);  // takes part in one exchange, as the other rank does
    } else {
      step(net, rows, 8.0);
      norms.end_batch(true);
    }
    EXPECT_LE(difference(net.norm->running_var, expected.running_var), kTolerance);
    EXPECT_EQ(net.norm->num_batches_tracked.item<int64_t>(), 1);
  });
}

TEST_F(SyncBatchNormTest, single_precision_stays_near_double) {
  const auto rows = points(8, true);
  Net whole(kPlain);
  const Result expected = step(whole, rows, 8.0);
  on_ranks(2, [&](ProcessGroup& group) {
    Net net(kPlain);
    net.to(torch::kFloat);
    const SyncBatchNorms norms(net, group);
    const auto result = step(net, rows.narrow(0, 4 * group.rank(), 4).to(torch::kFloat), 8.0);
    EXPECT_EQ(result.output.scalar_type(), torch::kFloat);
    EXPECT_LE(difference(result.output, expected.output.narrow(0, 4 * group.rank(), 4)), 1e-4);
    EXPECT_LE(difference(result.running_var, expected.running_var), 1e-4);
  });
}

TEST_F(SyncBatchNormTest, one_value_a_channel_has_no_variance) {
  SyncBatchNorm alone(kChannels);
  EXPECT_TRUE(says(test::message_of<ModuleError>([&] {
                     alone(torch::ones({1, kChannels}));
                   }),
                   {"a single value for each channel", "at least two rows"}));
  on_ranks(2, [](ProcessGroup& group) {
    torch::nn::Sequential net{SyncBatchNorm(kChannels)};
    const SyncBatchNorms norms(*net, group);
    EXPECT_THROW(net->forward(torch::ones({group.rank(), kChannels})), ModuleError);
    net->forward(torch::randn({1, kChannels}));  // two over all ranks
  });
}

TEST_F(SyncBatchNormTest, wrong_sizes_are_errors_that_name_them) {
  SyncBatchNorm norm(kChannels);
  EXPECT_TRUE(says(test::message_of<ModuleError>([&] {
                     norm(torch::ones({2, 5}));
                   }),
                   {"[2, 5]", "[rows, 3, ...]"}));
  EXPECT_THROW(SyncBatchNorm(0), ConfigError);
}

TEST_F(SyncBatchNormTest, a_clone_and_a_norm_whose_ranks_have_gone_are_joined_to_nobody) {
  on_ranks(2, [](ProcessGroup& group) {
    Net net(kPlain);
    auto norms = std::make_optional<SyncBatchNorms>(net, group);
    const auto clone = std::dynamic_pointer_cast<SyncBatchNormImpl>(net.norm->clone());
    if (group.rank() == 0) clone->forward(points(4, false));
    norms.reset();
    if (group.rank() == 0) net.norm(points(4, false));
  });
}

}  // namespace levin::sync_batch_norm_test
