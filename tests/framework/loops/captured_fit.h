#pragma once

// A fit whose steps are captured, on the CPU: the twin of a graph repeats their work.

#include "framework/support.h"

#include <gtest/gtest.h>

#include <functional>
#include <tuple>
#include <vector>

#include <levin/framework/loggers/logger.h>
#include <levin/framework/loops/fit_loop.h>
#include <levin/framework/strategies/single_device.h>
#include <levin/framework/threads/threads.h>

namespace levin::test::captured {

/// A device whose graphs are twins, and count their replays.
class TwinStrategy : public SingleDeviceStrategy {
 public:
  using SingleDeviceStrategy::SingleDeviceStrategy;
  std::unique_ptr<DeviceGraph> make_graph() const override {
    class Counting : public RepeatedWork {
     public:
      explicit Counting(int64_t& replays) : replays_(replays) {}
      void replay() override {
        ++replays_;
        RepeatedWork::replay();
      }

     private:
      int64_t& replays_;
    };
    return std::make_unique<Counting>(replays);
  }
  mutable int64_t replays = 0;
};

/// Gradient descent whose state is on the device, wherever that is.
class Descent : public Optimizer {
 public:
  explicit Descent(std::vector<torch::Tensor> parameters)
      : Optimizer(single_group(std::move(parameters)), 0.1, 0.0) {}
  torch::Tensor step(const Closure& closure) override {
    torch::Tensor loss;
    if (!evaluate(closure, loss)) return loss;
    const torch::NoGradGuard no_grad;
    for (const auto& parameter : stepped()) {
      if (parameter.grad().defined()) parameter.add_(parameter.grad(), -0.1);
    }
    return loss;
  }
  bool is_capturable() const override { return true; }
  StateDict state_dict() const override { return {}; }
  void load_state_dict(const StateDict&) override {}
};

class Net : public Classifier {
 public:
  bool capturable() const override { return capturable_; }
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    if (logs_number_) step.log("number", 1.0);
    return Classifier::training_step(batch, step);
  }
  Optimizers configure_optimizers() override {
    if (on_gpu_) return Adam(parameters(), {.learning_rate = 1e-2});
    return Descent(parameters());
  }
  void on_train_epoch_end(Run& run) override {
    epochs.push_back(run.epoch());
    if (epochs.size() < windows_.size()) run.accumulate(windows_[epochs.size()]);
  }
  void on_train_batch_end(const torch::Tensor& loss, const Batch& batch, Step& step) override {
    if (sees_batches_) {
      ++batches_seen;
    } else {
      Classifier::on_train_batch_end(loss, batch, step);
    }
  }
  bool sees_batches_ = false;
  int64_t batches_seen = 0;
  bool capturable_ = true;
  bool logs_number_ = false;
  bool on_gpu_ = false;
  std::vector<int64_t> windows_;  // batches of a step in each epoch
  std::vector<int64_t> epochs;
};

/// A callback for the end of a batch; the test says what it does.
class AtEnd : public Callback {
 public:
  std::string state_key() const override { return "AtEnd"; }
  void on_train_batch_end(const torch::Tensor& loss, const Batch& batch, Step& step) override {
    work(loss, batch, step);
  }
  std::function<void(const torch::Tensor&, const Batch&, Step&)> work;
};

struct Result {
  StateDict weights;
  std::vector<double> losses;  // of the epochs
  std::vector<float> step_losses;
  int64_t replays = 0;
};

/// A fit without a Trainer, on the CPU.
struct Fit {
  Net module;
  PointsModule data{103, {.batch_size = 10, .shuffle = true, .seed = 5}};
  TwinStrategy strategy{at::kCPU};
  AtEnd callback;
  HookSet callback_hooks = HookSet().add(BatchHook::train_batch_end, true);
  std::vector<Logger*> loggers;
  TrainerOptions options{.max_epochs = 3, .num_sanity_val_steps = 0};
  RunControl run;
  ThreadScope threads;
  Precision precision;
  std::vector<float> step_losses;

  Fit() {
    callback.work = [this](const torch::Tensor& loss, const Batch&, Step&) {
      step_losses.push_back(loss.item<float>());
    };
  }
  Result operator()() {
    torch::manual_seed(1);
    for (auto& parameter : module.parameters()) {
      const torch::NoGradGuard no_grad;
      parameter.uniform_(-0.5, 0.5);
    }
    auto optimizers = module.configure_optimizers();
    const HookList hooks({{&callback, callback_hooks}}, module);
    const std::vector<Callback*> callbacks{&callback};
    LoopParts parts{module,  data,    strategy, hooks,   callbacks,
                    loggers, options, run,      nullptr, &threads};
    parts.precision = precision;
    FitLoop loop(parts, data.train_dataloader(), data.val_dataloader(), optimizers);
    loop.run();
    return {module.state_dict().clone(), run.history().values("train_loss_epoch"), step_losses,
            strategy.replays};
  }
};

inline Result eager() {
  Fit fit;
  fit.options.cuda_graph = "off";
  return fit();
}

inline void expect_same(const Result& a, const Result& b) {
  EXPECT_EQ(a.losses, b.losses);
  EXPECT_EQ(a.step_losses, b.step_losses);
  ASSERT_EQ(a.weights.tensors.size(), b.weights.tensors.size());
  for (const auto& [name, tensor] : a.weights.tensors) {
    EXPECT_TRUE(same_bits(tensor, b.weights.tensor(name))) << name;
  }
}

/// Keeps the rows of steps.
class RowKeeper : public Logger {
 public:
  void start(Run&) override {}
  std::string state_key() const override { return "RowKeeper"; }
  void log_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) override {
    rows.push_back({epoch, step, metrics});
  }
  void log_epoch_metrics(const MetricMap&, int64_t, int64_t) override {}
  std::vector<std::tuple<int64_t, int64_t, MetricMap>> rows;
};

}  // namespace levin::test::captured
