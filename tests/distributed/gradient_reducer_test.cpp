#include <levin/framework/strategies/gradient_reducer.h>

#include <atomic>
#include <chrono>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/collectives/gloo.h>
#include <levin/framework/collectives/host_sum.h>
#include <levin/framework/core/error.h>
#include <levin/framework/strategies/sparse_gradients.h>

#include "distributed/joined_ranks.h"
#include "framework/message_of.h"

// Sums of gradients over ranks, each a thread of this process.

namespace levin::gradient_reducer_test {

using test::on_ranks;

constexpr int64_t kWords = 1000;
constexpr double kTolerance = 1e-12;

/// The same values in every thread.
void fill(torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  for (auto& parameter : module.parameters()) {
    parameter.copy_(
        torch::linspace(-1.0, 1.0, parameter.numel(), torch::kDouble).view(parameter.sizes()));
  }
}

/// Words to a number, by embeddings whose gradients are sparse, or dense for comparison.
struct Words : torch::nn::Module {
  explicit Words(bool sparse)
      : bag(torch::nn::EmbeddingBagOptions(kWords, 4).mode(torch::kSum).sparse(sparse)),
        embedding(torch::nn::EmbeddingOptions(kWords, 3).sparse(sparse)),
        linear(7, 1) {
    register_module("bag", bag);
    register_module("embedding", embedding);
    register_module("linear", linear);
    to(torch::kDouble);
    fill(*this);
  }
  /// The sum over rows of `words`, [rows, 5].
  torch::Tensor loss(const torch::Tensor& words) {
    const auto both = torch::cat({bag(words), embedding(words.select(1, 0))}, 1);
    return linear(both).sin().pow(2).sum();
  }
  torch::nn::EmbeddingBag bag;
  torch::nn::Embedding embedding;
  torch::nn::Linear linear;
};

/// The same for everybody; a word comes more than once in a row, in a rank and over ranks.
torch::Tensor words(int64_t step, int64_t rows) {
  const auto numbers = torch::arange(rows * 5, torch::kLong) * (step + 3) % 17;
  return (numbers * 50).view({rows, 5});
}

/// Riders of which only the first isn't 0.
torch::Tensor riders(double first = 0.0) {
  auto all = torch::zeros({GradientReducer::kRiders}, torch::kDouble);
  all[0] = first;
  return all;
}

/// Three steps, the second of two micro-batches, with each rank's share of the rows.
void expect_as_one(const std::vector<int64_t>& shares, const GradientReducerOptions& options) {
  SCOPED_TRACE(testing::Message() << testing::PrintToString(shares) << " unused "
                                  << options.find_unused_parameters);
  int64_t total = 0;
  for (const int64_t share : shares) total += share;
  on_ranks(static_cast<int64_t>(shares.size()), [&](ProcessGroup& group) {
    Words whole(false);
    Words net(true);
    std::vector<std::string> names;
    std::vector<torch::Tensor> parameters;
    for (const auto& item : net.named_parameters()) {
      names.push_back(item.key());
      parameters.push_back(item.value());
    }
    const auto sparse = find_sparse_gradients(net, parameters);
    EXPECT_EQ(sparse, (std::vector<bool>{true, true, false, false}));
    GradientReducer reducer(group, names, parameters, options, nullptr, sparse);
    const auto rank = static_cast<size_t>(group.rank());
    int64_t first = 0;
    for (size_t r = 0; r < rank; ++r) first += shares[r];
    const auto own = [&](int64_t step) {
      return words(step, total).narrow(0, first, shares[rank]);
    };
    for (int64_t step = 0; step < 3; ++step) {
      net.zero_grad();
      whole.zero_grad();
      if (step == 1) {
        whole.loss(words(9, total)).backward();
        if (shares[rank] > 0) net.loss(own(9)).backward();
      }
      whole.loss(words(step, total)).backward();
      const auto loss = shares[rank] > 0 ? net.loss(own(step)) : torch::Tensor();
      const auto sums =
          reducer.run(loss, riders(static_cast<double>(shares[rank])), [&] { loss.backward(); });
      EXPECT_EQ(sums[0].item<double>(), static_cast<double>(total));
      const auto expected = whole.parameters();
      for (size_t i = 0; i < parameters.size(); ++i) {
        const auto& gradient = parameters[i].grad();
        ASSERT_EQ(gradient.is_sparse(), sparse[i]) << names[i];
        const auto dense = sparse[i] ? gradient.to_dense() : gradient;
        EXPECT_LE(sparse[i] ? gradient.coalesce()._nnz() : 0, 17) << names[i];
        EXPECT_LE((dense - expected[i].grad()).abs().max().item<double>(), kTolerance)
            << names[i] << " step " << step;
      }
    }
    // What was sent grows with the words that came, not with those there are.
    EXPECT_LT(reducer.bytes(), 3 * kWords * 7 * 8);
  });
}

class GradientReducerTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_gloo()) GTEST_SKIP() << "this build has no Gloo";
  }
};

// Row 35 in part: embeddings with sparse gradients.
TEST_F(GradientReducerTest, sparse_gradients_stay_sparse_and_are_sums_over_ranks) {
  for (const auto& shares : std::vector<std::vector<int64_t>>{{4}, {4, 4}, {5, 1, 3}, {0, 6}}) {
    for (const bool unused : {false, true}) {
      expect_as_one(shares, {.find_unused_parameters = unused});
    }
  }
}

TEST_F(GradientReducerTest, sparse_gradients_keep_their_type_beside_compressed_ones) {
  on_ranks(2, [](ProcessGroup& group) {
    Words net(true);
    Words whole(false);
    const std::vector<std::string> names = net.named_parameters().keys();
    const std::vector<torch::Tensor> parameters = net.parameters();
    GradientReducer reducer(group, names, parameters, {.compression = "bf16"}, nullptr,
                            find_sparse_gradients(net, parameters));
    whole.loss(words(1, 6)).backward();
    const auto loss = net.loss(words(1, 6).narrow(0, 3 * group.rank(), 3));
    reducer.run(loss, riders(), [&] { loss.backward(); });
    const auto sum = net.embedding->weight.grad().to_dense();
    EXPECT_LE((sum - whole.embedding->weight.grad()).abs().max().item<double>(), kTolerance);
  });
}

TEST_F(GradientReducerTest, an_embedding_nobody_used_gets_no_rows) {
  on_ranks(2, [](ProcessGroup& group) {
    Words net(true);
    const std::vector<torch::Tensor> parameters = net.parameters();
    GradientReducer reducer(group, net.named_parameters().keys(), parameters,
                            {.find_unused_parameters = true}, nullptr,
                            find_sparse_gradients(net, parameters));
    for (int step = 0; step < 2; ++step) {
      net.zero_grad();
      const auto loss = net.embedding(torch::arange(4)).pow(2).sum();
      reducer.run(loss, riders(), [&] { loss.backward(); });
      const auto& unused = net.bag->weight.grad();
      EXPECT_TRUE(!unused.defined() || unused._nnz() == 0);
      EXPECT_EQ(net.embedding->weight.grad().coalesce()._nnz(), 4);
    }
  });
}

/// The gradients of three steps of a small net, each rank with rows of its own.
std::vector<torch::Tensor> gradients_of(ProcessGroup& group,
                                        const GradientReducerOptions& options) {
  torch::nn::Sequential net(torch::nn::Linear(37, 19), torch::nn::Tanh(), torch::nn::Linear(19, 3));
  fill(*net);
  GradientReducer reducer(group, net->named_parameters().keys(), net->parameters(), options);
  std::vector<torch::Tensor> result;
  for (int64_t step = 0; step < 3; ++step) {
    for (auto& parameter : net->parameters()) {
      if (parameter.grad().defined()) parameter.mutable_grad().zero_();
    }
    const auto rows = torch::sin(torch::arange(5 * 37).add(100.0 * static_cast<double>(step)))
                          .add(static_cast<double>(group.rank()))
                          .view({5, 37});
    const auto loss = net->forward(rows.to(torch::kFloat)).pow(2).sum();
    const auto sums = reducer.run(loss, riders(1.0), [&] { loss.backward(); });
    EXPECT_EQ(sums[0].item<double>(), static_cast<double>(group.world_size()));
    for (const auto& parameter : net->parameters()) result.push_back(parameter.grad().clone());
  }
  return result;
}

TEST_F(GradientReducerTest, sums_through_shared_memory_are_those_of_gloo) {
  for (const int64_t ranks : {2, 3, 4}) {
    for (const bool as_views : {false, true}) {
      for (const double cap : {25.0, 1e-3}) {  // one bucket, several
        SCOPED_TRACE(testing::Message() << ranks << " ranks, views " << as_views << " " << cap);
        const GradientReducerOptions options{.gradient_as_bucket_view = as_views,
                                             .bucket_cap_mb = cap};
        std::vector<std::vector<torch::Tensor>> by_gloo(static_cast<size_t>(ranks));
        on_ranks(ranks,
                 [&](ProcessGroup& group) {
                   EXPECT_EQ(group.host_sum(64), nullptr);
                   by_gloo[static_cast<size_t>(group.rank())] = gradients_of(group, options);
                 },
                 at::kCPU, {.backend = "gloo"});
        on_ranks(ranks, [&](ProcessGroup& group) {
          EXPECT_NE(group.host_sum(64), nullptr);
          const auto& expected = by_gloo[static_cast<size_t>(group.rank())];
          const auto sums = gradients_of(group, options);
          ASSERT_EQ(sums.size(), expected.size());
          for (size_t i = 0; i < sums.size(); ++i) {
            EXPECT_TRUE(torch::allclose(sums[i], expected[i], 1e-5, 1e-6)) << i;
            if (group.world_size() == 2) {
              EXPECT_TRUE(torch::equal(sums[i], expected[i])) << i;
            }
          }
        });
      }
    }
  }
}

/// In how many pieces of memory the gradients of four parameters lie after a step.
size_t pieces_of(ProcessGroup& group, const GradientReducerOptions& options) {
  torch::nn::Sequential net(torch::nn::Linear(37, 19), torch::nn::Tanh(), torch::nn::Linear(19, 3));
  GradientReducer reducer(group, net->named_parameters().keys(), net->parameters(), options);
  const auto loss = net->forward(torch::ones({5, 37})).sum();
  reducer.run(loss, riders(1.0), [&] { loss.backward(); });
  std::set<const void*> pieces;
  for (const auto& parameter : net->parameters()) {
    pieces.insert(parameter.grad().storage().unsafeGetStorageImpl());
  }
  return pieces.size();
}

TEST_F(GradientReducerTest, gradients_lie_in_as_many_buckets_as_asked_for_or_by_themselves) {
  on_ranks(2, [](ProcessGroup& group) {
    EXPECT_EQ(pieces_of(group, {}), 4U);
    EXPECT_EQ(pieces_of(group, {.gradient_as_bucket_view = true}), 1U);
    const size_t several =
        pieces_of(group, {.gradient_as_bucket_view = true, .bucket_cap_mb = 1e-4});
    EXPECT_GT(several, 1U);
    EXPECT_LT(several, 4U);
  });
}

TEST_F(GradientReducerTest, shared_memory_is_for_one_host_only) {
  test::as_ranks(2, [](const Cluster& cluster) {
    auto two_hosts = cluster;
    two_hosts.num_nodes = 2;
    ProcessGroup group(two_hosts, at::kCPU);
    EXPECT_EQ(group.host_sum(64), nullptr);
    group.barrier();
  });
}

TEST_F(GradientReducerTest, an_aborted_group_waits_for_no_gradients) {
  std::atomic<bool> over{false};
  const auto thrown = test::run_ranks(2, [&](const Cluster& cluster) {
    ProcessGroup group(cluster, at::kCPU);
    const auto sum = group.host_sum(64);
    ASSERT_NE(sum, nullptr);
    group.barrier();
    if (cluster.rank == 1) {  // neither gives anything nor leaves
      while (!over) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      return;
    }
    std::thread other([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      group.abort();
    });
    sum->place(64);
    sum->give(64, HostSum::Type::float32);
    EXPECT_TRUE(test::says(test::message_of<DistributedError>([&] { sum->sum(); }), {"aborted"}));
    over = true;
    other.join();
  });
  EXPECT_EQ(thrown, (std::vector<std::string>{"", ""}));
}

TEST(SparseGradients, are_those_of_sparse_embeddings_only) {
  Words dense(false);
  EXPECT_EQ(find_sparse_gradients(dense, dense.parameters()), std::vector<bool>(4, false));
  torch::nn::Embedding one(torch::nn::EmbeddingOptions(5, 2).sparse(true));
  torch::nn::Sequential net(one);
  EXPECT_EQ(find_sparse_gradients(*net, net->parameters()), std::vector<bool>{true});
  const auto none = no_sparse_gradient(one->weight);
  EXPECT_TRUE(none.is_sparse());
  EXPECT_EQ(none.sizes(), one->weight.sizes());
  EXPECT_EQ(none.sparse_dim(), 1);
  EXPECT_EQ(none._nnz(), 0);
}

}  // namespace levin::gradient_reducer_test
