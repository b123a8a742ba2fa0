#pragma once

#include <concepts>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <levin/framework/optimizers/optimizer.h>
#include <levin/framework/optimizers/scheduler.h>

namespace torch::optim {
class Optimizer;
}

namespace levin {

/// Makes an optimizer of Levin's from one of torch::optim's (SGD, Adam, AdamW, RMSprop, Adagrad,
/// LBFGS or a subclass of these); see TorchAdapter. Throws ConfigError for null and for any other
/// class.
std::unique_ptr<Optimizer> adapt(std::unique_ptr<torch::optim::Optimizer> optimizer);

/// When a scheduler acts, and on which metric; the fields are explained in SchedulerConfig.
struct ScheduleOptions {
  Interval interval = Interval::epoch;
  int64_t frequency = 1;
  std::string monitor{};
  bool strict = true;
  std::string name{};
};

/// The optimizers of a run, each with its learning-rate schedulers: what
/// `Module::configure_optimizers` returns. Lightning: the return value of configure_optimizers.
///
/// An optimizer converts to it, of Levin's classes or of torch::optim's; braces add a scheduler and
/// when it acts:
///
///     levin::Optimizers configure_optimizers() override {
///       return levin::Adam(parameters(), {.learning_rate = 1e-3});
///     }
///     // or
///       return std::make_unique<torch::optim::SGD>(parameters(), 0.1);
///     // or
///       return {levin::SGD(parameters(), {.learning_rate = 0.1}),
///               levin::StepLR({.step_size = 10}),
///               {.interval = levin::Interval::step}};
///
/// To chain several schedulers, add them one by one:
///
///     levin::Optimizers optimizers(levin::SGD(parameters(), {.learning_rate = 0.1}));
///     optimizers.add_scheduler(std::make_unique<levin::LinearLR>());
///     optimizers.add_scheduler(std::make_unique<levin::ExponentialLR>(
///         levin::ExponentialLROptions{.gamma = 0.9}));
///
/// The Trainer steps one optimizer; different parts of a module become parameter groups of that one
/// (parameter_groups.h). Several are for a module that steps them by hand
/// (Module::automatic_optimization).
class Optimizers {
 public:
  /// An optimizer with its schedulers, which are chained in their order.
  struct Entry {
    std::unique_ptr<Optimizer> optimizer;
    std::vector<SchedulerConfig> schedulers;
  };

  /// No optimizer: fit runs the training steps and leaves the parameters alone.
  Optimizers() = default;
  /// One optimizer, by pointer or by value, from Levin or from torch::optim. Throws ConfigError for
  /// null.
  template <std::derived_from<Optimizer> O>
  Optimizers(std::unique_ptr<O> optimizer) {  // NOLINT
    add(std::move(optimizer));
  }
  template <std::derived_from<Optimizer> O>
  Optimizers(O optimizer) {  // NOLINT
    add(std::make_unique<O>(std::move(optimizer)));
  }
  template <std::derived_from<torch::optim::Optimizer> O>
  Optimizers(std::unique_ptr<O> optimizer) {  // NOLINT
    add(adapt(std::unique_ptr<torch::optim::Optimizer>(std::move(optimizer))));
  }
  /// One optimizer and its scheduler. Throws what `add` and `add_scheduler` throw.
  template <class O, std::derived_from<Scheduler> S>
  Optimizers(O optimizer, S scheduler, ScheduleOptions options = {})
      : Optimizers(std::move(optimizer)) {
    add_scheduler(std::make_unique<S>(std::move(scheduler)), std::move(options));
  }
  template <class O>
  Optimizers(O optimizer, std::unique_ptr<Scheduler> scheduler, ScheduleOptions options = {})
      : Optimizers(std::move(optimizer)) {
    add_scheduler(std::move(scheduler), std::move(options));
  }

  /// Adds an optimizer, which this object then owns. Throws ConfigError for null.
  void add(std::unique_ptr<Optimizer> optimizer);
  /// Adds a scheduler of the optimizer that was added last. Throws ConfigError if there is no
  /// optimizer yet, for null, for a frequency below 1, and for a scheduler that watches a metric if
  /// `options.monitor` doesn't name one.
  void add_scheduler(std::unique_ptr<Scheduler> scheduler, ScheduleOptions options = {});

  /// How many optimizers there are.
  bool empty() const { return entries_.empty(); }
  size_t size() const { return entries_.size(); }
  /// The optimizers in the order in which they were added.
  std::vector<Entry>& entries() { return entries_; }
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  std::vector<Entry> entries_;
};

}  // namespace levin
