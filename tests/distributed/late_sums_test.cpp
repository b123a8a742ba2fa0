// Data parallelism whose host doesn't wait for what is summed beside the gradients: on the CPU by
// the option sums_are_late, through the same interfaces as on a GPU.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <levin/framework/loops/stopping.h>
#include <levin/framework/loops/training_step.h>
#include <levin/framework/optimizers/clip.h>
#include <levin/framework/strategies/sharded.h>
#include <levin/framework/tensor/device.h>

#ifdef LEVIN_HAS_CUDA_HEADERS
#include <c10/cuda/CUDAFunctions.h>
#endif

#include "distributed/ranks_as_threads.h"
#include "framework/meeting.h"
#include "framework/support.h"

namespace levin::late_sums_test {

using test::as_ranks;
using test::same_bits;

/// Classifies points; it begins with the same weights in every thread.
class Net : public Module {
 public:
  explicit Net(at::ScalarType type = at::kFloat)
      : hidden_(register_module("hidden", torch::nn::Linear(4, 7))),
        output_(register_module("output", torch::nn::Linear(7, 3))) {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : parameters()) {
      parameter.copy_(torch::linspace(-0.5, 0.4, parameter.numel()).view(parameter.sizes()));
    }
    to(type);
  }
  torch::Tensor training_step(const Batch& batch, Step&) override {
    if (skips) return {};
    return torch::cross_entropy_loss(output_(torch::tanh(hidden_(batch.input()))), batch.target());
  }
  Optimizers configure_optimizers() override {
    return SGD(parameters(), {.learning_rate = 0.1, .momentum = 0.9});
  }
  bool skips = false;

 private:
  torch::nn::Linear hidden_;
  torch::nn::Linear output_;
};

constexpr int64_t kSkipped = 4;  // rows

/// One rank's fit, of which the test makes the steps. A batch is described by a sign for each rank:
/// the number of its rows, or 's' if it skips the batch.
class Fit {
 public:
  explicit Fit(Strategy& strategy_, TrainerOptions options_ = {}, at::ScalarType type = at::kFloat)
      : strategy(strategy_), options(std::move(options_)), module(type) {
    strategy.setup(module);
    optimizers = module.configure_optimizers();
    strategy.shard_optimizers(optimizers);
    training_step.emplace(
        LoopParts{module, data, strategy, hooks, callbacks, loggers, options, run}, optimizers);
  }
  /// This rank's part of the batch with that number. Returns the rows of all ranks, too.
  std::pair<Batch, int64_t> batch(int64_t number, const std::string& signs) {
    int64_t begin = 0;
    int64_t own = 0;
    int64_t all = 0;
    for (size_t r = 0; r < signs.size(); ++r) {
      const int64_t rows = signs[r] == 's' ? kSkipped : signs[r] - '0';
      if (static_cast<int64_t>(r) == strategy.ranks().rank()) {
        begin = all;
        own = rows;
        module.skips = signs[r] == 's';
      }
      all += rows;
    }
    const auto points = test::make_points(all, static_cast<uint64_t>(number));
    const auto like = module.parameters().front().options().requires_grad(false);
    return {Batch({{"input", points.input.narrow(0, begin, own).to(like)},
                   {"target", points.target.narrow(0, begin, own).to(like.device())}}),
            all};
  }
  /// Trains on that batch; whether a step was counted.
  bool train(int64_t number, const std::string& signs, bool window_ends = true) {
    const auto [own, all] = batch(number, signs);
    return training_step->run(own, step, all, window_ends);
  }
  bool ask(const std::string& key, bool raised = false) {
    return strategy.ranks().any_after_step(key, raised);
  }

  Strategy& strategy;
  TrainerOptions options;
  Net module;
  test::PointsModule data{8, {.batch_size = 8}};
  HookList hooks;
  std::vector<Callback*> callbacks;
  std::vector<Logger*> loggers;
  RunControl run;
  LoggedValues metrics;
  StepControl step{run, metrics, /*on_step=*/true};
  Optimizers optimizers;
  std::optional<TrainingStep> training_step;
};

std::unique_ptr<Strategy> make(const Cluster& cluster, bool are_late, int64_t stage = 0,
                               at::Device device = at::kCPU) {
  const DataParallelOptions options{.sums_are_late = are_late};
  if (stage == 0) return std::make_unique<DataParallelStrategy>(cluster, device, options);
  return std::make_unique<ShardedStrategy>(
      cluster, device, ShardedOptions{.data_parallel = options, .stage = stage});
}

/// What one rank has after each window.
struct Window {
  bool counted;
  std::vector<torch::Tensor> tensors;  // weights, then gradients
};

std::vector<Window> windows_of(Fit& fit, const std::vector<std::string>& batches) {
  std::vector<Window> windows;
  const auto tensors = fit.strategy.with_gradients(*fit.optimizers.entries()[0].optimizer);
  const int64_t size = fit.options.accumulate_grad_batches;
  for (size_t i = 0; i < batches.size(); ++i) {
    const auto number = static_cast<int64_t>(i);
    const bool counted = fit.train(number, batches[i], (number + 1) % size == 0);
    if ((number + 1) % size != 0) continue;
    Window window{counted, {}};
    for (const auto& parameter : fit.module.parameters()) {
      window.tensors.push_back(parameter.detach().clone());
    }
    for (const auto& tensor : tensors) {
      if (counted && tensor.grad().defined()) window.tensors.push_back(tensor.grad().clone());
    }
    windows.push_back(std::move(window));
  }
  return windows;
}

std::vector<bool> counted(const std::vector<Window>& windows) {
  std::vector<bool> all;
  for (const auto& window : windows) all.push_back(window.counted);
  return all;
}

void expect_same(const std::vector<Window>& a, const std::vector<Window>& b) {
  EXPECT_EQ(counted(a), counted(b));
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].tensors.size(), b[i].tensors.size()) << "window " << i;
    for (size_t t = 0; t < a[i].tensors.size(); ++t) {
      EXPECT_TRUE(same_bits(a[i].tensors[t], b[i].tensors[t]))
          << "window " << i << ", tensor " << t;
    }
  }
}

// All ranks have rows, some skip theirs, all skip, and some have none.
const std::vector<std::string> kBatches = {"532", "5s2", "sss", "ss0", "540", "s50", "050", "532"};

/// The windows of each of three ranks.
std::vector<std::vector<Window>> windows_of_ranks(bool are_late, int64_t stage,
                                                  const TrainerOptions& options,
                                                  at::ScalarType type) {
  std::vector<std::vector<Window>> ranks(3);
  as_ranks(3, [&](const Cluster& cluster) {
    const auto strategy = make(cluster, are_late, stage);
    Fit fit(*strategy, options, type);
    ranks[static_cast<size_t>(cluster.rank)] = windows_of(fit, kBatches);
    strategy->ranks().barrier();
    strategy->teardown(fit.module);
  });
  return ranks;
}

TEST(LateSums, give_the_bits_of_sums_that_are_waited_for) {
  for (const int64_t stage : {0, 1, 2}) {
    for (const auto type : {at::kFloat, at::kDouble}) {
      for (const int64_t accumulate : {1, 2}) {
        SCOPED_TRACE(testing::Message() << stage << " " << type << " " << accumulate);
        const TrainerOptions options{.accumulate_grad_batches = accumulate,
                                     .gradient_clip_val = 0.5};
        const auto late = windows_of_ranks(true, stage, options, type);
        const auto expected = windows_of_ranks(false, stage, options, type);
        for (size_t rank = 0; rank < late.size(); ++rank) expect_same(late[rank], expected[rank]);
        EXPECT_EQ(counted(late[2]), accumulate == 1 ? std::vector<bool>({true, true, false, false,
                                                                         true, true, true, true})
                                                    : std::vector<bool>({true, false, true, true}));
      }
    }
  }
}

TEST(LateSums, scale_gradients_of_two_bytes_alike_on_all_ranks) {
  const auto ranks = windows_of_ranks(true, /*stage=*/0, {}, at::kBFloat16);
  for (const size_t rank : {size_t{1}, size_t{2}}) expect_same(ranks[rank], ranks[0]);
}

TEST(LateSums, are_read_at_once_if_the_loss_is_wanted) {
  as_ranks(2, [](const Cluster& cluster) {
    const auto strategy = make(cluster, /*are_late=*/true);
    Fit fit(*strategy);
    const auto backward = [&](int64_t number) {
      const auto [own, all] = fit.batch(number, "31");
      const auto rows = static_cast<double>(own.rows());
      const auto loss = fit.module.training_step(own, fit.step);
      return strategy->backward(fit.module, loss, rows / static_cast<double>(all), rows);
    };
    fit.ask("key", cluster.rank == 1);
    EXPECT_EQ(backward(0), std::nullopt);
    EXPECT_FALSE(fit.ask("key"));
    strategy->sum_losses(true);
    EXPECT_EQ(backward(1), 4.0);  // reads the flags of both windows
    EXPECT_TRUE(strategy->summed_loss().has_value());
    EXPECT_TRUE(fit.ask("key"));
    EXPECT_FALSE(fit.ask("key", cluster.rank == 0));
    EXPECT_EQ(backward(2), 4.0);
    EXPECT_TRUE(fit.ask("key"));
    strategy->sum_losses(false);
    EXPECT_EQ(backward(3), std::nullopt);
    EXPECT_FALSE(fit.ask("key"));
    strategy->ranks().barrier();
  });
}

/// After which step the fit of each of three ranks ends, and why. `before` is called for each rank
/// and step before its boundary; the boundaries after the steps `waiting` are those of an epoch.
std::vector<std::pair<int64_t, std::string>> ends(
    bool are_late, const TrainerOptions& options,
    const std::function<void(Stopping&, int64_t rank, int64_t step)>& before,
    int64_t waiting = 100) {
  std::vector<std::pair<int64_t, std::string>> all(3);
  as_ranks(3, [&](const Cluster& cluster) {
    const auto strategy = make(cluster, are_late);
    Fit fit(*strategy, options);
    Progress& progress = fit.run.progress();
    progress = Progress{.stage = Stage::fit, .num_batches = 100};
    Stopping stopping(fit.options, strategy->ranks(), fit.run);
    stopping.set_limits(progress);
    stopping.start_clock();
    do {
      ++progress.global_step;
      fit.train(progress.global_step, "532");
      before(stopping, cluster.rank, progress.global_step);
      stopping.judge(/*in_step=*/progress.global_step != waiting);
    } while (!stopping.is_done());
    all[static_cast<size_t>(cluster.rank)] = {progress.global_step, stopping.reason()};
    strategy->ranks().barrier();
  });
  return all;
}

constexpr const char* kOthers = "a callback of another rank asked to stop";
using Ends = std::vector<std::pair<int64_t, std::string>>;

TEST(LateSums, a_wish_of_one_rank_ends_all_of_them_one_step_later) {
  const TrainerOptions options{.max_steps = 20};
  const auto wish = [](Stopping& stopping, int64_t rank, int64_t step) {
    if (rank == 1 && step == 2) stopping.hold({{.text = "enough"}});
  };
  EXPECT_EQ(ends(false, options, wish), Ends({{3, kOthers}, {3, "enough"}, {3, kOthers}}));
  EXPECT_EQ(ends(true, options, wish), Ends({{4, kOthers}, {4, "enough"}, {4, kOthers}}));
  // The wish is under way at a boundary at which ranks wait for each other anyway.
  EXPECT_EQ(ends(true, options, wish, 3), Ends({{3, kOthers}, {3, "enough"}, {3, kOthers}}));
}

TEST(LateSums, a_wish_in_the_last_step_changes_nothing) {
  const auto wish = [](Stopping& stopping, int64_t rank, int64_t step) {
    if (rank == 1 && step >= 4) stopping.hold({{.text = "enough"}});
  };
  EXPECT_EQ(ends(true, {.max_steps = 5}, wish), Ends(3, {5, "max_steps"}));
}

TEST(LateSums, the_time_limit_ends_all_ranks_at_the_same_step) {
  const TrainerOptions options{.max_steps = 20, .max_time = "00:00:00:10"};
  const test::ThreadClocks clocks;
  const auto pass = [](Stopping&, int64_t rank, int64_t step) {
    test::ThreadClocks::now() += rank == 2 && step == 3 ? 60.0 : 0.0;
  };
  EXPECT_EQ(ends(false, options, pass), Ends(3, {4, "max_time"}));
  EXPECT_EQ(ends(true, options, pass), Ends(3, {5, "max_time"}));
}

TEST(LateSums, a_flag_that_ranks_raise_one_after_the_other_is_told_once) {
  as_ranks(3, [](const Cluster& cluster) {
    const auto strategy = make(cluster, /*are_late=*/true);
    Fit fit(*strategy);
    std::vector<int64_t> told;
    for (int64_t number = 0; number < 12; ++number) {
      fit.train(number, "532");
      // The other ranks raise it while that of rank 0 is under way: first a new name, then a
      // number.
      const bool raised = number % 6 == (cluster.rank == 0 ? 0 : 1);
      if (fit.ask("key", raised)) told.push_back(number);
    }
    EXPECT_EQ(told, (std::vector<int64_t>{2, 8}));
    strategy->ranks().barrier();
  });
}

TEST(LateSums, what_is_under_way_when_a_fit_ends_is_forgotten_on_all_ranks) {
  as_ranks(3, [](const Cluster& cluster) {
    const auto strategy = make(cluster, /*are_late=*/true);
    for (int number = 0; number < 3; ++number) {
      Fit fit(*strategy);
      fit.train(0, "532");
      EXPECT_FALSE(fit.ask("key", cluster.rank == number));
      fit.train(1, "532");
      EXPECT_FALSE(fit.ask("key"));
      if (number == 1) {
        fit.train(2, "532");
        EXPECT_TRUE(fit.ask("key")) << "a step later";
      }
      strategy->ranks().barrier();
      strategy->teardown(fit.module);
    }
  });
}

TEST(LateSums, a_resumed_fit_ends_with_the_same_bits) {
  const size_t half = kBatches.size() / 2;
  std::vector<std::vector<Window>> whole(3);
  as_ranks(3, [&](const Cluster& cluster) {
    const auto strategy = make(cluster, /*are_late=*/true);
    Fit fit(*strategy);
    whole[static_cast<size_t>(cluster.rank)] = windows_of(fit, kBatches);
    strategy->ranks().barrier();
  });
  std::vector<std::pair<StateDict, StateDict>> states(3);
  as_ranks(3, [&](const Cluster& cluster) {
    const auto strategy = make(cluster, /*are_late=*/true);
    Fit fit(*strategy);
    for (size_t i = 0; i < half; ++i) fit.train(static_cast<int64_t>(i), kBatches[i]);
    fit.ask("key", true);  // under way to nobody
    states[static_cast<size_t>(cluster.rank)] = {
        fit.module.state_dict().clone(),
        fit.optimizers.entries()[0].optimizer->state_dict().clone()};
    strategy->ranks().barrier();
  });
  as_ranks(3, [&](const Cluster& cluster) {
    const auto rank = static_cast<size_t>(cluster.rank);
    const auto strategy = make(cluster, /*are_late=*/true);
    Fit fit(*strategy);
    fit.module.load_state_dict(states[rank].first);
    fit.optimizers.entries()[0].optimizer->load_state_dict(states[rank].second);
    for (size_t i = half; i < kBatches.size(); ++i) {
      fit.train(static_cast<int64_t>(i), kBatches[i]);
      EXPECT_FALSE(fit.ask("key"));
      const auto parameters = fit.module.parameters();
      for (size_t p = 0; p < parameters.size(); ++p) {
        EXPECT_TRUE(same_bits(parameters[p], whole[rank][i].tensors[p])) << i << " " << p;
      }
    }
    strategy->ranks().barrier();
  });
}

class LateSumsCuda : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) GTEST_SKIP() << "needs a GPU";
  }
};

TEST_F(LateSumsCuda, scaling_by_a_tensor_gives_the_bits_of_scaling_by_a_number) {
  for (const auto type : {at::kFloat, at::kDouble, at::kBFloat16}) {
    std::vector<torch::Tensor> parameters;
    std::vector<torch::Tensor> expected;
    for (int i = 0; i < 3; ++i) {
      const auto options = torch::TensorOptions(type).device(at::kCUDA);
      parameters.push_back(torch::zeros({1000}, options).requires_grad_());
      parameters.back().mutable_grad() = torch::randn({1000}, options);
      const auto precise = type == at::kDouble ? at::kDouble : at::kFloat;
      expected.push_back((parameters.back().grad().to(precise) * (10.0 / 7.0)).to(type));
    }
    const auto rows = torch::full({}, 7.0, torch::TensorOptions(at::kDouble).device(at::kCUDA));
    scale_gradients(parameters, torch::full({}, 10.0, at::kDouble) / rows);
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_TRUE(same_bits(parameters[i].grad(), expected[i])) << type << " " << i;
    }
  }
}

#ifdef LEVIN_HAS_CUDA_HEADERS
/// Data parallelism that sums gradients even if there is only one rank, because NCCL joins no two
/// ranks on one GPU.
class AlwaysSums : public DataParallelStrategy {
 public:
  using DataParallelStrategy::DataParallelStrategy;
  void teardown(Module& module) override {
    reducer_.reset();
    DataParallelStrategy::teardown(module);
  }

 protected:
  void prepare_sums(const Module&, std::vector<std::string> names,
                    std::vector<torch::Tensor> parameters) override {
    reducer_ = std::make_unique<GradientReducer>(group(), std::move(names), std::move(parameters),
                                                 options().gradients);
  }
  torch::Tensor sum_gradients(const torch::Tensor& loss, const torch::Tensor& riders,
                              const std::function<void()>& backward) override {
    return reducer_->run(loss, riders, backward);
  }

 private:
  std::unique_ptr<GradientReducer> reducer_;
};

/// Makes LibTorch throw if an operation waits for the GPU, for as long as this object lives.
class NoWaiting {
 public:
  NoWaiting() { set(c10::cuda::SyncDebugMode::L_ERROR); }
  ~NoWaiting() { set(c10::cuda::SyncDebugMode::L_DISABLED); }
  NoWaiting(const NoWaiting&) = delete;
  NoWaiting& operator=(const NoWaiting&) = delete;

 private:
  static void set(c10::cuda::SyncDebugMode mode) {
    c10::cuda::warning_state().set_sync_debug_mode(mode);
  }
};

TEST_F(LateSumsCuda, no_steady_step_waits_for_the_gpu) {
  for (const int64_t stage : {0, 2}) {
    for (const int64_t accumulate : {1, 2}) {
      SCOPED_TRACE(testing::Message() << stage << " " << accumulate);
      as_ranks(1, [&](const Cluster& cluster) {
        const at::Device gpu(at::kCUDA, 0);
        const auto strategy = stage == 0 ? std::make_unique<AlwaysSums>(cluster, gpu)
                                         : make(cluster, /*are_late=*/true, stage, gpu);
        Fit fit(*strategy, {.accumulate_grad_batches = accumulate, .gradient_clip_val = 0.1});
        const auto [batch, rows] = fit.batch(0, "8");
        std::vector<int> told;
        std::optional<NoWaiting> no_waiting;
        for (int number = 0; number < 24; ++number) {
          if (number == 6) no_waiting.emplace();
          for (int64_t i = 1; i <= accumulate; ++i) {
            fit.training_step->run(batch, fit.step, rows, i == accumulate);
          }
          if (fit.ask("key", number == 1 || number == 10)) told.push_back(number);
        }
        no_waiting.reset();
        EXPECT_EQ(told, (std::vector<int>{3, 12}));
        strategy->teardown(fit.module);
      });
    }
  }
}
#endif

}  // namespace levin::late_sums_test
