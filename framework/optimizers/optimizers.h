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

/// Wraps a torch::optim optimizer (SGD, Adam, AdamW, RMSprop, Adagrad, LBFGS) as Levin's, with
/// named state. Throws ConfigError for a class it doesn't know.
std::unique_ptr<Optimizer> adapt(std::unique_ptr<torch::optim::Optimizer> optimizer);

/// How a scheduler given with an optimizer acts: see SchedulerConfig.
struct ScheduleOptions {
  Interval interval = Interval::epoch;
  int64_t frequency = 1;
  std::string monitor{};
  bool strict = true;
};

/// What `configure_optimizers` returns: none, an optimizer, or one with its scheduler.
///
///     return levin::Adam(parameters(), {.learning_rate = 1e-3});
///     return std::make_unique<torch::optim::SGD>(parameters(), 0.1);
///     return {levin::SGD(...), levin::StepLR({.step_size = 10}), {.interval = Interval::step}};
class Optimizers {
 public:
  struct Entry {
    std::unique_ptr<Optimizer> optimizer;
    std::vector<SchedulerConfig> schedulers;
  };

  Optimizers() = default;
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

  void add(std::unique_ptr<Optimizer> optimizer);
  /// Adds a scheduler of the optimizer last added. Throws ConfigError for a frequency below 1 or a
  /// plateau scheduler without a monitor.
  void add_scheduler(std::unique_ptr<Scheduler> scheduler, ScheduleOptions options = {});

  bool empty() const { return entries_.empty(); }
  size_t size() const { return entries_.size(); }
  std::vector<Entry>& entries() { return entries_; }
  const std::vector<Entry>& entries() const { return entries_; }

 private:
  std::vector<Entry> entries_;
};

}  // namespace levin
