#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/optimizers/all.h>
#include <levin/framework/optimizers/clip.h>
#include <levin/framework/run/module.h>
#include <levin/framework/strategies/sharded.h>

#include "distributed/ranks_as_threads.h"

namespace levin::sharding_test {

using test::run_ranks;

inline int64_t bytes_of(const StateDict& state) {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : state.tensors) bytes += static_cast<int64_t>(tensor.nbytes());
  return bytes;
}

inline constexpr int64_t kRows = 10;

struct NetOptions {
  bool has_unused = false;
  torch::ScalarType type = torch::kDouble;
};

class Net : public Module {
 public:
  explicit Net(NetOptions options = {}) {
    torch::manual_seed(3);
    first = register_module("first", torch::nn::Linear(6, 37));
    second = register_module("second", torch::nn::Linear(37, 5));
    if (options.has_unused) unused = register_module("unused", torch::nn::Linear(5, 2));
    to(options.type);
  }
  torch::Tensor loss(const torch::Tensor& input, const torch::Tensor& target) {
    return (second(torch::tanh(first(input))) - target).square().mean();
  }
  torch::nn::Linear first{nullptr};
  torch::nn::Linear second{nullptr};
  torch::nn::Linear unused{nullptr};
};

struct Rows {
  torch::Tensor input;
  torch::Tensor target;
};

inline Rows rows_of(int64_t batch, int64_t rows) {
  auto generator = at::detail::createCPUGenerator(1000 + static_cast<uint64_t>(batch));
  return {torch::randn({rows, 6}, generator, torch::kDouble),
          torch::randn({rows, 5}, generator, torch::kDouble)};
}

/// Rank r's rows of a batch; the last ranks may have fewer, or none.
inline Rows part_of(const Rows& all, int64_t rank, int64_t size) {
  const int64_t share = (all.input.size(0) + size - 1) / size;
  const int64_t begin = std::min(rank * share, all.input.size(0));
  const int64_t end = std::min(begin + share, all.input.size(0));
  return {all.input.slice(0, begin, end), all.target.slice(0, begin, end)};
}

struct Training {
  int64_t batches = 4;
  int64_t window = 1;
  int64_t rows = kRows;
  double clip = 0.0;
  int64_t first_batch = 0;
};

inline Optimizers make_adam(Net& net) {
  Optimizers made = Adam(net.parameters(), {.learning_rate = 0.01});
  NamedTensors names;
  for (const auto& item : net.named_parameters()) names.emplace_back(item.key(), item.value());
  made.entries()[0].optimizer->set_names(names);
  return made;
}

/// What the loop does, on one rank.
inline void train(Net& net, Strategy& strategy, Optimizer& optimizer, const Training& training) {
  const auto with_gradients = strategy.with_gradients(optimizer);
  double window_rows = 0.0;
  for (int64_t b = 0; b < training.batches; ++b) {
    if (b % training.window == 0) {
      optimizer.zero_grad();
      window_rows = 0.0;
    }
    const auto part = part_of(rows_of(training.first_batch + b, training.rows),
                              strategy.ranks().rank(), strategy.ranks().size());
    const int64_t rows = part.input.size(0);
    const auto loss = rows > 0 ? net.loss(part.input, part.target) : torch::Tensor();
    window_rows += static_cast<double>(rows);
    const bool ends = (b + 1) % training.window == 0;
    const auto given =
        strategy.backward(net, loss, static_cast<double>(rows) / static_cast<double>(training.rows),
                          ends ? std::optional(window_rows) : std::nullopt);
    if (!ends) continue;
    const double all_rows = given.value();
    EXPECT_EQ(all_rows, static_cast<double>(training.rows * training.window));
    torch::NoGradGuard no_grad;
    for (const auto& one : with_gradients) {
      if (one.grad().defined())
        one.mutable_grad().mul_(static_cast<double>(training.rows) / all_rows);
    }
    if (training.clip > 0.0) strategy.clip_grad_norm(with_gradients, training.clip);
    optimizer.step();
  }
}

/// One process on whole batches, by plain autograd.
inline void train_alone(Net& net, Optimizer& optimizer, const Training& training) {
  for (int64_t b = 0; b < training.batches; ++b) {
    if (b % training.window == 0) optimizer.zero_grad();
    const auto all = rows_of(training.first_batch + b, training.rows);
    net.loss(all.input, all.target).backward();
    if ((b + 1) % training.window != 0) continue;
    torch::NoGradGuard no_grad;
    for (const auto& parameter : net.parameters()) {
      if (parameter.grad().defined()) parameter.mutable_grad().div_(training.window);
    }
    if (training.clip > 0.0) clip_grad_norm(net.parameters(), training.clip);
    optimizer.step();
  }
}

inline ShardedOptions options_of(int64_t stage) {
  ShardedOptions options{.stage = stage};
  options.data_parallel.gradients.bucket_cap_mb = 0.001;  // several buffers
  return options;
}

inline double largest_difference(Net& a, Net& b) {
  double largest = 0.0;
  const auto x = a.parameters();
  const auto y = b.parameters();
  for (size_t i = 0; i < x.size(); ++i) {
    largest = std::max(largest, (x[i] - y[i]).abs().max().item<double>());
  }
  return largest;
}

/// Random generators of torch are one for all threads: only one rank makes its net at a time.
inline std::mutex making;

template <class Work>
void with_strategy(const Cluster& cluster, const ShardedOptions& options, const Work& work,
                   NetOptions net_options = {}) {
  std::unique_ptr<Net> net;
  {
    const std::lock_guard<std::mutex> lock(making);
    net = std::make_unique<Net>(net_options);
  }
  ShardedStrategy strategy(cluster, torch::kCPU, options);
  strategy.setup(*net);
  Optimizers made = make_adam(*net);
  strategy.shard_optimizers(made);
  work(*net, strategy, *made.entries()[0].optimizer);
  strategy.teardown(*net);
}

inline StateDict checkpoint_of(const Net& net, const Optimizer& optimizer) {
  StateDict state;
  state.values["global_step"] = 2;
  state.add("model", net.state_dict());
  StateDict all;
  all.add("0", optimizer.state_dict());
  state.add("optimizer", std::move(all));
  return state;
}

inline void load(Net& net, Optimizer& optimizer, const StateDict& state) {
  net.load_state_dict(state.child("model"));
  optimizer.load_state_dict(state.child("optimizer").child("0"));
}

inline void expect_same(const StateDict& a, const StateDict& b, double tolerance) {
  EXPECT_EQ(a.values, b.values) << a.values.to_json() << "\n" << b.values.to_json();
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (const auto& [name, tensor] : a.tensors) {
    const auto found = b.tensors.find(name);
    ASSERT_NE(found, b.tensors.end()) << name;
    ASSERT_EQ(tensor.sizes(), found->second.sizes()) << name;
    const double difference =
        tensor.numel() == 0 ? 0.0 : (tensor - found->second).abs().max().item<double>();
    EXPECT_LE(difference, tolerance) << name;
  }
}

}  // namespace levin::sharding_test
