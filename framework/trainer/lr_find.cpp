#include <levin/framework/trainer/tuner.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <optional>
#include <utility>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/checks.h>
#include <levin/framework/run/run_control.h>
#include <levin/framework/solvers/solver.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/framework/trainer/trial.h>

namespace levin {
namespace {

constexpr double kSmoothing = 0.98;

/// The learning rate of each step of a trial.
class RisingRate : public Scheduler {
 public:
  RisingRate(const LrFindOptions& options, double first_base)
      : options_(options), first_base_(first_base) {}
  double factor(int64_t counter) const override {
    const double share =
        static_cast<double>(counter) / static_cast<double>(options_.num_training - 1);
    if (options_.mode == "linear") {
      return options_.min_lr + (options_.max_lr - options_.min_lr) * share;
    }
    return options_.min_lr * std::pow(options_.max_lr / options_.min_lr, share);
  }
  double learning_rate(double base_learning_rate, int64_t counter) const override {
    const double ratio = first_base_ > 0.0 ? base_learning_rate / first_base_ : 1.0;
    return factor(counter) * ratio;
  }

 private:
  LrFindOptions options_;
  double first_base_;
};

/// The loss of a batch over the rows of all ranks, weighted as their gradients are; nothing if no
/// rank has one. A collective.
std::optional<double> loss_of_all(const torch::Tensor& loss, const Batch& batch, Step& step) {
  Ranks& ranks = step.run().ranks();
  const auto own = loss.defined() ? std::optional(loss.item().toDouble()) : std::nullopt;
  if (ranks.size() == 1) return own;
  const auto& given = static_cast<const StepControl&>(step).batch_size();  // a fit's steps are such
  const double weight = own ? static_cast<double>(given.value_or(batch.rows())) : 0.0;
  std::array<double, 2> sums = {weight > 0.0 ? weight * *own : 0.0, weight};
  ranks.sum(sums);
  return sums[1] > 0.0 ? std::optional(sums[0] / sums[1]) : std::nullopt;
}

/// Notes the smoothed loss of each step, on every rank the same.
class NotesLosses : public Callback {
 public:
  NotesLosses(const LrFindOptions& options, LearningRates& found)
      : options_(options), schedule_(options, 1.0), found_(found) {}
  std::string state_key() const override { return "NotesLosses"; }
  void on_train_batch_end(const torch::Tensor& loss, const Batch& batch, Step& step) override {
    const auto done = static_cast<int64_t>(found_.losses.size());
    if (explodes_ || step.global_step() == done) return;  // the latter within a window
    found_.rates.push_back(schedule_.factor(done));
    if (const auto all = loss_of_all(loss, batch, step)) {
      mean_ = kSmoothing * mean_ + (1.0 - kSmoothing) * *all;
    }
    const double smooth = mean_ / (1.0 - std::pow(kSmoothing, static_cast<double>(done + 1)));
    found_.losses.push_back(smooth);
    explodes_ = options_.early_stop_threshold && done > 0 &&
                !(smooth <= *options_.early_stop_threshold * lowest_);
    if (explodes_) step.run().stop("the loss explodes");  // several ranks still take a step
    if (done == 0 || smooth < lowest_) lowest_ = smooth;
  }

 private:
  LrFindOptions options_;
  RisingRate schedule_;
  LearningRates& found_;
  double mean_ = 0.0;
  double lowest_ = 0.0;
  bool explodes_ = false;
};

Optimizers with_rising_rate(Optimizers made, const LrFindOptions& options) {
  auto& entries = made.entries();
  if (entries.size() != 1 || dynamic_cast<Solver*>(entries[0].optimizer.get()) != nullptr) {
    throw ConfigError::conflict(
        "lr_find needs one optimizer that has a learning rate",
        entries.empty() ? "return one from configure_optimizers" : "solvers have none");
  }
  entries[0].schedulers.clear();
  const double base = entries[0].optimizer->groups()[0].base_learning_rate;
  made.add_scheduler(std::make_unique<RisingRate>(options, base), {.interval = Interval::step});
  return made;
}

void check_find(const LrFindOptions& o) {
  check_above_zero("min_lr", o.min_lr);
  check_option(std::isfinite(o.max_lr) && o.max_lr > o.min_lr, "max_lr", o.max_lr,
               "must be above min_lr");
  check_option(o.num_training >= 2, "num_training", o.num_training, "must be at least 2");
  if (o.mode != "exponential" && o.mode != "linear") {
    throw ConfigError::invalid_value("mode", o.mode, "must be exponential or linear");
  }
  if (o.early_stop_threshold) check_above_zero("early_stop_threshold", *o.early_stop_threshold);
}

}  // namespace

Fields describe(LrFindOptions& o) {
  return fields_of<LrFindOptions>({
      {"min_lr", &o.min_lr, "the learning rate of the first step"},
      {"max_lr", &o.max_lr, "and that of the last one"},
      {"num_training", &o.num_training, "optimizer steps"},
      {"mode", &o.mode, "\"exponential\" or \"linear\": how the rate rises"},
      {"early_stop_threshold", &o.early_stop_threshold,
       "ends where the loss is this many times the lowest one; null: doesn't"},
  });
}

std::optional<double> LearningRates::suggestion(size_t skip_begin, size_t skip_end) const {
  std::vector<size_t> steps;
  for (size_t i = skip_begin; i + skip_end < losses.size(); ++i) {
    if (std::isfinite(losses[i])) steps.push_back(i);
  }
  if (steps.size() < 2) return {};
  const auto slope = [&](size_t i) {  // central differences, one-sided at the ends
    const size_t before = steps[i == 0 ? 0 : i - 1];
    const size_t after = steps[std::min(i + 1, steps.size() - 1)];
    return (losses[after] - losses[before]) / static_cast<double>(after - before);
  };
  size_t steepest = 0;
  for (size_t i = 1; i < steps.size(); ++i) {
    if (slope(i) < slope(steepest)) steepest = i;
  }
  return rates[steps[steepest]];
}

LearningRates lr_find(const TrainerOptions& options, Module& module, DataModule& data,
                      const LrFindOptions& find, const OptimizersFactory& optimizers) {
  check_find(find);
  refuse_shared_models(options, "lr_find");
  if (!module.automatic_optimization()) {
    throw ConfigError::conflict("lr_find with a module that optimizes by hand",
                                "it needs one optimizer, which the Trainer steps");
  }
  LearningRates found;
  BeforeTrial before(module, data);
  Trainer trainer(trial_options(options, find.num_training));
  trainer.set_optimizers([&](Module& own) {
    return with_rising_rate(optimizers ? optimizers(own) : own.configure_optimizers(), find);
  });
  trainer.add(std::make_unique<TakesWeights>(before), overridden_hooks<TakesWeights>());
  trainer.add(std::make_unique<NotesLosses>(find, found), overridden_hooks<NotesLosses>());
  trainer.fit(module, data);
  return found;
}

}  // namespace levin
