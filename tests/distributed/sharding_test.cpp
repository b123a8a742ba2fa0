// Sharded optimizer state and gradients (ZeRO stages 1 and 2): row 50 of the requirements.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/sharded_checkpoint.h>
#include <levin/framework/checkpoint/slices.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/optimizers/all.h>
#include <levin/framework/optimizers/clip.h>
#include <levin/framework/run/module.h>
#include <levin/framework/strategies/flat_parameters.h>
#include <levin/framework/strategies/sharded.h>
#include <levin/framework/tensor/divided_memory.h>

#include "distributed/ranks_as_threads.h"
#include "framework/message_of.h"
#include "framework/support.h"

namespace levin::sharding_test {

namespace fs = std::filesystem;
using test::as_ranks;
using test::message_of;
using test::run_ranks;
using test::same_bits;
using test::says;
using test::TemporaryFolder;

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

int64_t bytes_of(const StateDict& state) {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : state.tensors) bytes += static_cast<int64_t>(tensor.nbytes());
  return bytes;
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

// --- strategies ---

constexpr int64_t kRows = 10;

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

Rows rows_of(int64_t batch, int64_t rows) {
  auto generator = at::detail::createCPUGenerator(1000 + static_cast<uint64_t>(batch));
  return {torch::randn({rows, 6}, generator, torch::kDouble),
          torch::randn({rows, 5}, generator, torch::kDouble)};
}

/// Rank r's rows of a batch; the last ranks may have fewer, or none.
Rows part_of(const Rows& all, int64_t rank, int64_t size) {
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

Optimizers make_adam(Net& net) {
  Optimizers made = Adam(net.parameters(), {.learning_rate = 0.01});
  NamedTensors names;
  for (const auto& item : net.named_parameters()) names.emplace_back(item.key(), item.value());
  made.entries()[0].optimizer->set_names(names);
  return made;
}

/// What the loop does, on one rank.
void train(Net& net, Strategy& strategy, Optimizer& optimizer, const Training& training) {
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
void train_alone(Net& net, Optimizer& optimizer, const Training& training) {
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

ShardedOptions options_of(int64_t stage) {
  ShardedOptions options{.stage = stage};
  options.data_parallel.gradients.bucket_cap_mb = 0.001;  // several buffers
  return options;
}

double largest_difference(Net& a, Net& b) {
  double largest = 0.0;
  const auto x = a.parameters();
  const auto y = b.parameters();
  for (size_t i = 0; i < x.size(); ++i) {
    largest = std::max(largest, (x[i] - y[i]).abs().max().item<double>());
  }
  return largest;
}

/// Random generators of torch are one for all threads: only one rank makes its net at a time.
std::mutex making;

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

// Row 50: both stages train as one process does, at any number of ranks.
class Stages : public ::testing::TestWithParam<int64_t> {};

TEST_P(Stages, train_as_one_process) {
  for (const Training& training :
       {Training{}, Training{.window = 2}, Training{.clip = 0.05}, Training{.rows = 2}}) {
    Net alone;
    Optimizers made = make_adam(alone);
    train_alone(alone, *made.entries()[0].optimizer, training);
    const bool is_plain = training.window == 1 && training.clip == 0.0 && training.rows == kRows;
    for (const int64_t size :
         is_plain ? std::vector<int64_t>{1, 2, 3, 4} : std::vector<int64_t>{3}) {
      as_ranks(size, [&](const Cluster& cluster) {
        with_strategy(cluster, options_of(GetParam()),
                      [&](Net& net, Strategy& strategy, Optimizer& optimizer) {
                        train(net, strategy, optimizer, training);
                        const double difference = largest_difference(net, alone);
                        EXPECT_LT(difference, 1e-12)
                            << "rank " << strategy.ranks().rank() << " of " << size << ", window "
                            << training.window << ", clip " << training.clip;
                      });
      });
    }
  }
}

TEST_P(Stages, name_a_parameter_without_a_gradient_or_leave_it_out) {
  NetOptions unused{.has_unused = true};
  const auto thrown = run_ranks(2, [&](const Cluster& cluster) {
    with_strategy(
        cluster, options_of(GetParam()),
        [](Net& net, Strategy& strategy, Optimizer& optimizer) {
          train(net, strategy, optimizer, {.batches = 1});
        },
        unused);
  });
  for (const auto& error : thrown) {
    EXPECT_TRUE(says(error, {"unused.", "find_unused_parameters"}));
  }
  Net alone(unused);
  Optimizers made = make_adam(alone);
  train_alone(alone, *made.entries()[0].optimizer, {});
  auto options = options_of(GetParam());
  options.data_parallel.gradients.find_unused_parameters = true;
  as_ranks(3, [&](const Cluster& cluster) {
    with_strategy(
        cluster, options,
        [&](Net& net, Strategy& strategy, Optimizer& optimizer) {
          train(net, strategy, optimizer, {});
          EXPECT_LT(largest_difference(net, alone), 1e-12);
          for (const auto& [name, tensor] : optimizer.state_dict().tensors) {
            EXPECT_FALSE(name.starts_with("unused")) << name;
          }
        },
        unused);
  });
}

TEST_P(Stages, know_flags_after_the_step) {
  as_ranks(3, [&](const Cluster& cluster) {
    with_strategy(cluster, options_of(GetParam()),
                  [&](Net& net, Strategy& strategy, Optimizer& optimizer) {
                    Ranks& ranks = strategy.ranks();
                    EXPECT_FALSE(ranks.any_after_step("interrupt", ranks.rank() == 1));
                    train(net, strategy, optimizer, {.batches = 1});
                    EXPECT_TRUE(ranks.any_after_step("interrupt", false));
                    EXPECT_FALSE(ranks.any_after_step("max_time", false));
                  });
  });
}

INSTANTIATE_TEST_SUITE_P(Stage, Stages, ::testing::Values(1, 2));

// Row 50: in stage 2 gradients too take 1 / world_size.
TEST(StageTwo, keeps_its_share_of_the_gradients_only) {
  for (const int64_t size : {2, 4}) {
    as_ranks(size, [&](const Cluster& cluster) {
      with_strategy(
          cluster, options_of(2), [&](Net& net, Strategy& strategy, Optimizer& optimizer) {
            int64_t all = 0;
            for (const auto& parameter : net.parameters()) {
              all += static_cast<int64_t>(parameter.nbytes());
            }
            train(net, strategy, optimizer, {.batches = 1});
            int64_t kept = 0;
            for (const auto& parameter : net.parameters()) {
              EXPECT_FALSE(parameter.grad().defined());
            }
            std::map<const void*, int64_t> storages;
            for (const auto& one : strategy.with_gradients(optimizer)) {
              const auto& storage = one.grad().storage();
              storages[storage.unsafeGetStorageImpl()] = static_cast<int64_t>(storage.nbytes());
            }
            for (const auto& [storage, bytes] : storages) kept += bytes;
            EXPECT_LT(kept, all / size + 1024) << "of " << all;
            EXPECT_GT(kept, 0);
          });
    });
  }
}

TEST(StageTwo, sends_halves_where_asked) {
  Net alone;
  Optimizers made = make_adam(alone);
  train_alone(alone, *made.entries()[0].optimizer, {.batches = 1});
  auto options = options_of(2);
  options.data_parallel.gradients.compression = "bf16";
  as_ranks(2, [&](const Cluster& cluster) {
    with_strategy(cluster, options, [&](Net& net, Strategy& strategy, Optimizer& optimizer) {
      train(net, strategy, optimizer, {.batches = 1});
      EXPECT_GT(largest_difference(net, alone), 0.0);
      EXPECT_LT(largest_difference(net, alone), 1e-3);
    });
  });
}

TEST(StageTwo, refuses_a_gradient_that_comes_twice) {
  const auto thrown = run_ranks(2, [&](const Cluster& cluster) {
    class Twice : public Net {
     public:
      void backward(const torch::Tensor& loss) override {
        loss.backward({}, /*keep_graph=*/true);
        loss.backward();
      }
    };
    std::unique_ptr<Twice> net;
    {
      const std::lock_guard<std::mutex> lock(making);
      net = std::make_unique<Twice>();
    }
    ShardedStrategy strategy(cluster, torch::kCPU, options_of(2));
    strategy.setup(*net);
    Optimizers made = make_adam(*net);
    strategy.shard_optimizers(made);
    train(*net, strategy, *made.entries()[0].optimizer, {.batches = 1});
  });
  for (const auto& error : thrown) EXPECT_TRUE(says(error, {"twice", "call backward once"}));
}

// --- checkpoints ---

StateDict checkpoint_of(const Net& net, const Optimizer& optimizer) {
  StateDict state;
  state.values["global_step"] = 2;
  state.add("model", net.state_dict());
  StateDict all;
  all.add("0", optimizer.state_dict());
  state.add("optimizer", std::move(all));
  return state;
}

void load(Net& net, Optimizer& optimizer, const StateDict& state) {
  net.load_state_dict(state.child("model"));
  optimizer.load_state_dict(state.child("optimizer").child("0"));
}

void expect_same(const StateDict& a, const StateDict& b, double tolerance) {
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

// Row 50: in stage 3, no rank has the whole model while it is saved.
TEST(StageThree, saves_slices_of_parameters_that_no_rank_has_whole) {
  TemporaryFolder folder;
  const auto path = folder.path() / "weights.ckpt";
  const StateDict expected = [] {
    StateDict state;
    state.add("model", Net().state_dict());
    return state;
  }();
  for (const int64_t size : {1, 3}) {
    as_ranks(size, [&](const Cluster& cluster) {
      with_strategy(cluster, options_of(3), [&](Net& net, Strategy& strategy, Optimizer&) {
        EXPECT_TRUE(strategy.divides_module());
        StateDict state;
        state.add("model", net.state_dict());
        strategy.mark_own_tensors(state);
        EXPECT_LE(bytes_of(state), bytes_of(expected) / size + 1024);
        for (const auto& item : net.parameters()) {
          EXPECT_FALSE(divided_memory_of(item)->is_filled());
        }
        save_sharded_checkpoint(path, state, strategy.ranks());
        for (const auto& item : net.parameters()) {
          EXPECT_FALSE(divided_memory_of(item)->is_filled());
        }
      });
    });
    expect_same(load_checkpoint(path), expected, 0.0);
  }
}

class ShardedCheckpoint : public ::testing::Test {
 protected:
  /// Trains `size` ranks for two steps and saves.
  void save(int64_t size, const fs::path& path, int64_t stage = 1, int64_t batches = 2) {
    as_ranks(size, [&](const Cluster& cluster) {
      with_strategy(
          cluster, options_of(stage), [&](Net& net, Strategy& strategy, Optimizer& optimizer) {
            train(net, strategy, optimizer, {.batches = batches});
            save_sharded_checkpoint(path, checkpoint_of(net, optimizer), strategy.ranks());
          });
    });
  }
  std::vector<fs::path> parts(const fs::path& folder) const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.path().filename() != "index.json") found.push_back(entry.path());
    }
    std::sort(found.begin(), found.end());
    return found;
  }
  TemporaryFolder folder_;
  fs::path path_ = folder_.path() / "epoch=0-step=2.ckpt";
};

// Row 50: what 3 ranks save is what one process would have, and any number of ranks goes on from
// it.
TEST_F(ShardedCheckpoint, loads_at_any_world_size) {
  Net alone;
  Optimizers made = make_adam(alone);
  auto& optimizer_alone = *made.entries()[0].optimizer;
  train_alone(alone, optimizer_alone, {.batches = 2});
  for (const int64_t stage : {1, 2}) {
    save(3, path_, stage);
    const StateDict loaded = load_checkpoint(path_);
    expect_same(loaded, checkpoint_of(alone, optimizer_alone), 1e-13);
    const StateDict outline = load_checkpoint_outline(path_);
    EXPECT_EQ(outline.values, loaded.values);
    ASSERT_EQ(outline.tensors.size(), loaded.tensors.size());
    for (const auto& [name, tensor] : loaded.tensors) {
      EXPECT_TRUE(outline.tensor(name).is_meta()) << name;
      EXPECT_EQ(outline.tensor(name).sizes(), tensor.sizes()) << name;
      EXPECT_EQ(outline.tensor(name).scalar_type(), tensor.scalar_type()) << name;
    }

    Net further;
    Optimizers further_made = make_adam(further);
    load(further, *further_made.entries()[0].optimizer, loaded);
    const Training rest{.batches = 2, .first_batch = 2};
    train_alone(further, *further_made.entries()[0].optimizer, rest);
    for (const int64_t size : {1, 2, 4}) {
      const auto again = folder_.path() / ("again-" + std::to_string(size) + ".ckpt");
      as_ranks(size, [&](const Cluster& cluster) {
        with_strategy(
            cluster, options_of(stage), [&](Net& net, Strategy& strategy, Optimizer& optimizer) {
              load(net, optimizer, load_checkpoint(path_));
              save_sharded_checkpoint(again, checkpoint_of(net, optimizer), strategy.ranks());
              train(net, strategy, optimizer, rest);
              EXPECT_LT(largest_difference(net, further), 1e-12) << size;
            });
      });
      expect_same(load_checkpoint(again), loaded, 0.0);
    }
  }
}

TEST_F(ShardedCheckpoint, is_a_folder_with_a_part_each_rank_and_replaces_an_earlier_one) {
  save(3, path_);
  const auto before = parts(path_);
  EXPECT_EQ(before.size(), 3u);
  save(2, path_);
  const auto after = parts(path_);
  EXPECT_EQ(after.size(), 2u);
  for (const auto& part : after) EXPECT_EQ(std::count(before.begin(), before.end(), part), 0);
  EXPECT_TRUE(has_checkpoint(path_));
  int64_t largest = 0;
  for (const auto& part : after) {
    EXPECT_TRUE(says(part.filename().string(), {"rank-", ".safetensors"}));
    largest = std::max(largest, static_cast<int64_t>(fs::file_size(part)));
  }
  EXPECT_LT(load_checkpoint(after[1]).tensors.size(), load_checkpoint(after[0]).tensors.size());
  EXPECT_GT(largest, 0);

  std::ofstream(path_ / "mine.txt") << "not ours";
  remove_checkpoint(path_);
  EXPECT_FALSE(has_checkpoint(path_));
  EXPECT_TRUE(fs::exists(path_ / "mine.txt"));
  EXPECT_EQ(parts(path_).size(), 1u);
  fs::remove(path_ / "mine.txt");
  remove_checkpoint(path_);
  EXPECT_FALSE(fs::exists(path_));
  remove_checkpoint(path_);
}

TEST_F(ShardedCheckpoint, takes_the_files_place_and_gives_it_back) {
  StateDict small;
  small.values["global_step"] = 1;
  save_checkpoint(path_, small);
  save(2, path_);
  EXPECT_EQ(load_checkpoint(path_).values.at("global_step").as_int(), 2);
  save_checkpoint(path_, small);
  EXPECT_TRUE(fs::is_regular_file(path_));
  EXPECT_EQ(load_checkpoint(path_).values.at("global_step").as_int(), 1);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator()), 1);
}

TEST_F(ShardedCheckpoint, refuses_torn_folders) {
  const auto error_after = [&](const std::function<void(const fs::path&)>& harm) {
    const auto copy = folder_.path() / "copy.ckpt";
    fs::remove_all(copy);
    fs::copy(path_, copy, fs::copy_options::recursive);
    harm(copy);
    return message_of<CheckpointError>([&] { load_checkpoint(copy); });
  };
  const auto cut = [](const fs::path& path) { fs::resize_file(path, fs::file_size(path) - 9); };
  save(3, path_);
  const auto other = folder_.path() / "other.ckpt";
  save(3, other);

  EXPECT_TRUE(says(error_after([](const fs::path& f) { fs::remove(f / "index.json"); }),
                   {"index.json", "cut short"}));
  EXPECT_TRUE(says(error_after([&](const fs::path& f) { cut(f / "index.json"); }), {"index.json"}));
  EXPECT_TRUE(says(error_after([](const fs::path& f) {
                     auto text = test::read_file(f / "index.json");
                     text.replace(text.find("\"world_size\": 3"), 15, "\"world_size\": 4");
                     std::ofstream(f / "index.json") << text;
                   }),
                   {"index.json", "checksum"}));
  EXPECT_TRUE(says(error_after([&](const fs::path& f) { fs::remove(parts(f)[1]); }),
                   {"rank-1.", "missing"}));
  EXPECT_TRUE(says(error_after([&](const fs::path& f) {
                     fs::copy(parts(other)[1], parts(f)[1], fs::copy_options::overwrite_existing);
                   }),
                   {"rank-1.", "another save"}));
  EXPECT_TRUE(says(error_after([&](const fs::path& f) {
                     fs::copy(parts(f)[0], parts(f)[1], fs::copy_options::overwrite_existing);
                   }),
                   {"rank-1.", "another save"}));
  EXPECT_TRUE(says(error_after([&](const fs::path& f) { cut(parts(f)[2]); }), {"rank-2."}));
}

TEST_F(ShardedCheckpoint, stays_whole_where_one_rank_cant_write) {
  save(3, path_);
  const auto before = parts(path_);
  files::inject_faults([](const files::Operation& operation) {
    const bool is_second = operation.path.filename().string().starts_with("rank-1.");
    return is_second && operation.name == "sync" ? ENOSPC : 0;
  });
  const auto thrown = run_ranks(3, [&](const Cluster& cluster) {
    with_strategy(cluster, options_of(1), [&](Net& net, Strategy& strategy, Optimizer& optimizer) {
      train(net, strategy, optimizer, {.batches = 1});
      save_sharded_checkpoint(path_, checkpoint_of(net, optimizer), strategy.ranks());
    });
  });
  files::inject_faults({});
  EXPECT_TRUE(says(thrown[0], {"rank 1", "No space left"}));
  EXPECT_TRUE(says(thrown[1], {"No space left"}));
  EXPECT_EQ(parts(path_), before);
  EXPECT_EQ(load_checkpoint(path_).values.at("global_step").as_int(), 2);
}

}  // namespace levin::sharding_test
