// Compressed sums of gradients over ranks, each a thread of this process.
#include <levin/framework/strategies/gradient_reducer.h>

#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/collectives/gloo.h>
#include <levin/framework/compression/gradient_compression.h>
#include <levin/framework/core/error.h>

#include "distributed/joined_ranks.h"
#include "distributed/wire_bytes.h"

namespace levin::compression_ranks_test {

using test::bytes_on_the_wire;
using test::on_ranks;
using Object = Value::Object;

/// Every way, with settings that suit a few steps.
const std::vector<NamedSettings>& ways() {
  static const std::vector<NamedSettings> all{{"one_bit"},
                                              {"qsgd"},
                                              {"topk", Object{{"ratio", 0.1}}},
                                              {"powersgd", Object{{"start_powersgd_iter", 2}}}};
  return all;
}

/// A softmax regression with the same weights in every thread, and its reducer.
struct Trained {
  Trained(ProcessGroup& group, const GradientReducerOptions& options,
          at::ScalarType type = at::kFloat, int64_t features = 96)
      : linear(features, 10) {
    linear->to(type);
    const torch::NoGradGuard no_grad;
    for (auto& each : linear->parameters()) {
      each.copy_(torch::linspace(-0.3, 0.2, each.numel()).view(each.sizes()));
    }
    std::vector<std::string> names;
    std::vector<torch::Tensor> parameters;
    for (const auto& item : linear->named_parameters()) {
      names.push_back(item.key());
      parameters.push_back(item.value());
    }
    reducer.emplace(group, names, parameters, options);
  }
  /// The sum over rows, so that ranks count by their rows.
  torch::Tensor loss(int64_t first, int64_t rows) {
    const auto weight = linear->weight;
    const auto places = torch::arange(first, first + rows, torch::kLong);
    const auto input =
        (places.unsqueeze(1) * torch::arange(1, weight.size(1) + 1)).to(weight.scalar_type()).sin();
    return torch::nn::functional::cross_entropy(
        linear(input), places % 10,
        torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kSum));
  }
  /// One step of the ranks, of which this one has `rows`; returns all gradients, [n].
  torch::Tensor step(int64_t first, int64_t rows) {
    linear->zero_grad();
    auto riders = torch::zeros({static_cast<int64_t>(GradientReducer::kRiders)}, torch::kDouble);
    riders[0] = static_cast<double>(rows);
    const auto own = rows > 0 ? loss(first, rows) : torch::Tensor();
    sum_of_rows = reducer->run(own, riders, [&] { own.backward(); })[0].item<double>();
    return torch::cat({linear->weight.grad().view({-1}), linear->bias.grad()}).clone();
  }

  torch::nn::Linear linear;
  std::optional<GradientReducer> reducer;
  double sum_of_rows = 0.0;
};

/// The number of the first of a rank's rows.
int64_t first_of(const std::vector<int64_t>& shares, int64_t rank) {
  int64_t first = 0;
  for (int64_t r = 0; r < rank; ++r) first += shares[static_cast<size_t>(r)];
  return first;
}

class CompressionRanks : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_gloo()) GTEST_SKIP() << "this build has no Gloo";
  }
};

TEST_F(CompressionRanks, all_ranks_get_the_same_bits_whatever_their_rows) {
  for (const auto& way : ways()) {
    for (const auto type : {at::kFloat, at::kDouble, at::kBFloat16}) {
      SCOPED_TRACE(testing::Message() << way.name << " " << type);
      std::mutex mutex;
      std::vector<std::vector<torch::Tensor>> all(3);
      on_ranks(3, [&](ProcessGroup& group) {
        Trained trained(group, {.bucket_cap_mb = 1e-3, .compression = way}, type);
        std::vector<torch::Tensor> own;
        for (int64_t step = 0; step < 6; ++step) {
          const std::vector<int64_t> shares{5, step % 2 == 0 ? 0 : 3, 2};
          const auto rank = group.rank();
          own.push_back(trained.step(first_of(shares, rank), shares[static_cast<size_t>(rank)]));
          EXPECT_EQ(trained.sum_of_rows, step % 2 == 0 ? 7.0 : 10.0);
          EXPECT_EQ(own.back().scalar_type(), type);
        }
        const std::lock_guard lock(mutex);
        all[static_cast<size_t>(group.rank())] = std::move(own);
      });
      for (size_t step = 0; step < 6; ++step) {
        EXPECT_GT(all[0][step].abs().sum().item<double>(), 0.0);
        EXPECT_TRUE(torch::equal(all[0][step], all[1][step])) << step;
        EXPECT_TRUE(torch::equal(all[0][step], all[2][step])) << step;
      }
    }
  }
}

// The mean over steps of what is sent comes near to the sum over all rows, as one process has it.
TEST_F(CompressionRanks, ranks_with_more_rows_count_for_more) {
  const std::vector<int64_t> shares{9, 0, 2};
  for (const auto& way : ways()) {
    SCOPED_TRACE(way.name);
    on_ranks(3, [&](ProcessGroup& group) {
      Trained trained(group, {.compression = way});
      trained.loss(0, 11).backward();
      const auto expected =
          torch::cat({trained.linear->weight.grad().view({-1}), trained.linear->bias.grad()})
              .clone();
      auto mean = torch::zeros_like(expected);
      constexpr int64_t kSteps = 300;
      const auto rank = group.rank();
      for (int64_t step = 0; step < kSteps; ++step) {
        mean += trained.step(first_of(shares, rank), shares[static_cast<size_t>(rank)]) / kSteps;
      }
      EXPECT_LT(((mean - expected).norm() / expected.norm()).item<double>(), 0.03);
    });
  }
}

struct Sent {
  int64_t counted = 0;  // by the reducer of one rank
  int64_t on_wire = 0;  // by the system, a rank
};

constexpr int64_t kFeatures = 7840;
constexpr int64_t kValues = (kFeatures + 1) * 10;

/// What each of two ranks sends in ten steps of a softmax regression.
Sent sent_with(const NamedSettings& way) {
  Sent sent;
  const ProcessGroupOptions gloo{.backend = "gloo"};  // auto would sum in shared memory
  on_ranks(
      2,
      [&](ProcessGroup& group) {
        Trained trained(group, {.compression = way}, at::kFloat, kFeatures);
        group.barrier();
        const int64_t before = bytes_on_the_wire();
        const int64_t counted = trained.reducer->bytes();
        group.barrier();
        for (int64_t step = 0; step < 10; ++step) trained.step(group.rank() * 4, 4);
        group.barrier();
        if (group.rank() != 0) return;
        sent.counted = trained.reducer->bytes() - counted;
        sent.on_wire = (bytes_on_the_wire() - before) / 2;
      },
      at::kCPU, gloo);
  return sent;
}

// row 40: at most 1/25 of the bytes of float32, as the transport counts them.
TEST_F(CompressionRanks, one_bit_sends_less_than_a_twenty_fifth) {
  const Sent plain = sent_with("none");
  const Sent packed = sent_with("one_bit");
  EXPECT_GE(plain.on_wire, 10 * kValues * 4);
  EXPECT_LE(packed.on_wire * 25, plain.on_wire);
  EXPECT_LE(packed.counted * 25, plain.counted);
  for (const Sent& each : {plain, packed}) {
    EXPECT_GE(each.on_wire, each.counted);
    // Headers, the barriers, and what TCP sends again.
    EXPECT_LT(each.on_wire, each.counted + each.counted / 20 + 10 * 1500);
  }
}

}  // namespace levin::compression_ranks_test
