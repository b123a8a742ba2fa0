#include <levin/framework/optimizers/schedules.h>

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <map>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/all.h>

#include "framework/message_of.h"

namespace levin::schedules_test {

using test::message_of;
using test::says;

torch::Tensor parameter() { return torch::zeros({1}, torch::requires_grad()); }

double rate(Optimizers& optimizers, size_t group = 0) {
  return optimizers.entries().front().optimizer->groups().at(group).learning_rate;
}

Optimizers with(std::unique_ptr<Scheduler> scheduler, ScheduleOptions options = {}) {
  Optimizers optimizers(SGD({parameter()}, {.learning_rate = 0.8}));
  optimizers.add_scheduler(std::move(scheduler), std::move(options));
  return optimizers;
}

TEST(SchedulesRates, each_scheduler_sets_its_own_rate) {
  // eta_min isn't a share of the base rate: the factor alone wouldn't do.
  auto optimizers = with(
      std::make_unique<CosineAnnealingLR>(CosineAnnealingLROptions{.T_max = 2, .eta_min = 0.2}));
  Schedules schedules(optimizers);
  schedules.apply();
  EXPECT_DOUBLE_EQ(rate(optimizers), 0.8);
  schedules.advance(Interval::epoch);
  EXPECT_DOUBLE_EQ(rate(optimizers), 0.5);
  schedules.advance(Interval::epoch);
  EXPECT_DOUBLE_EQ(rate(optimizers), 0.2);
}

TEST(SchedulesRates, several_are_chained_and_each_group_has_its_base) {
  Optimizers optimizers(
      SGD({{.parameters = {parameter()}}, {.parameters = {parameter()}, .learning_rate = 0.1}},
          {.learning_rate = 1.0}));
  optimizers.add_scheduler(std::make_unique<StepLR>(StepLROptions{.step_size = 1, .gamma = 0.5}));
  optimizers.add_scheduler(std::make_unique<ExponentialLR>(ExponentialLROptions{.gamma = 0.1}),
                           {.interval = Interval::step});
  Schedules schedules(optimizers);
  schedules.advance(Interval::epoch);
  EXPECT_DOUBLE_EQ(rate(optimizers, 0), 0.5);
  EXPECT_DOUBLE_EQ(rate(optimizers, 1), 0.05);
  schedules.advance(Interval::step);
  EXPECT_DOUBLE_EQ(rate(optimizers, 0), 0.05);
  EXPECT_DOUBLE_EQ(rate(optimizers, 1), 0.005);
}

TEST(SchedulesCounters, count_their_own_interval_by_their_frequency) {
  auto optimizers = with(std::make_unique<ExponentialLR>(ExponentialLROptions{.gamma = 0.5}),
                         {.interval = Interval::step, .frequency = 2});
  Schedules schedules(optimizers);
  std::vector<double> rates;
  for (int i = 0; i < 5; ++i) {
    schedules.advance(Interval::epoch);
    schedules.advance(Interval::step);
    rates.push_back(rate(optimizers));
  }
  EXPECT_EQ(rates, (std::vector<double>{0.8, 0.4, 0.4, 0.2, 0.2}));
}

TEST(SchedulesCounters, go_on_after_a_resume) {
  const auto make = [] {
    return with(
        std::make_unique<ReduceLROnPlateau>(ReduceLROnPlateauOptions{.factor = 0.5, .patience = 1}),
        {.monitor = "val_loss"});
  };
  auto whole = make();
  Schedules schedules(whole);
  for (int i = 0; i < 3; ++i) schedules.observe(Interval::epoch, {{"val_loss", 1.0}});
  const StateDict saved = schedules.state_dict();
  auto resumed = make();
  Schedules others(resumed);
  others.load_state_dict(saved);
  EXPECT_EQ(rate(resumed), rate(whole));
  for (int i = 0; i < 2; ++i) {
    schedules.observe(Interval::epoch, {{"val_loss", 1.0}});
    others.observe(Interval::epoch, {{"val_loss", 1.0}});
    EXPECT_EQ(rate(resumed), rate(whole));
  }
  EXPECT_DOUBLE_EQ(rate(whole), 0.2);
}

TEST(SchedulesCounters, of_one_optimizer_count_its_own_steps) {
  Optimizers two(SGD({parameter()}, {.learning_rate = 1.0}));
  two.add_scheduler(std::make_unique<ExponentialLR>(ExponentialLROptions{.gamma = 0.5}),
                    {.interval = Interval::step, .frequency = 2});
  two.add(std::make_unique<SGD>(std::vector{parameter()}, SGDOptions{.learning_rate = 1.0}));
  two.add_scheduler(std::make_unique<ExponentialLR>(ExponentialLROptions{.gamma = 0.1}),
                    {.interval = Interval::step});
  Schedules schedules(two);
  const auto rates = [&] {
    return std::vector<double>{two.entries()[0].optimizer->groups()[0].learning_rate,
                               two.entries()[1].optimizer->groups()[0].learning_rate};
  };
  schedules.advance_step_of(*two.entries()[0].optimizer);
  EXPECT_EQ(rates(), (std::vector<double>{1.0, 1.0}));
  schedules.advance_step_of(*two.entries()[0].optimizer);
  schedules.advance_step_of(*two.entries()[1].optimizer);
  EXPECT_EQ(rates(), (std::vector<double>{0.5, 0.1}));
}

/// Settings with which a scheduler of that name changes the rate in each of twenty steps.
Value lively_settings(const std::string& name) {
  const std::map<std::string, const char*> all = {
      {"StepLR", R"({"step_size": 1})"},
      {"MultiStepLR", R"({"milestones": [1, 2, 5, 9, 12, 17]})"},
      {"ExponentialLR", R"({"gamma": 0.9})"},
      {"CosineAnnealingLR", R"({"T_max": 20})"},
      {"CosineAnnealingWarmRestarts", R"({"T_0": 2, "T_mult": 2})"},
      {"PolynomialLR", R"({"total_iters": 20})"},
      {"ConstantLR", R"({"total_iters": 11})"},
      {"LinearLR", R"({"total_iters": 20})"},
      {"WarmupLR", R"({"total_iters": 20})"},
      {"OneCycleLR", R"({"total_steps": 20})"},
      {"CyclicLR", R"({"max_lr": 2.0, "step_size_up": 7})"},
      {"SequentialLR",
       R"({"milestones": [7], "schedulers": ["LinearLR", {"name": "PolynomialLR"}]})"},
      {"ReduceLROnPlateau", R"({"patience": 1, "cooldown": 2, "factor": 0.5})"}};
  const auto found = all.find(name);
  if (found == all.end()) ADD_FAILURE() << "add settings for " << name;
  return found == all.end() ? Value(Value::Object{}) : Value::from_json(found->second);
}

TEST(SchedulesState, of_every_shipped_scheduler_goes_on_with_the_same_bits) {
  for (const auto& name : shipped_schedulers().names()) {
    SCOPED_TRACE(name);
    const auto make = [&] {
      return with(shipped_schedulers().make(name, lively_settings(name)), {.monitor = "loss"});
    };
    auto whole = make();
    Schedules schedules(whole);
    schedules.apply();
    std::vector<double> rates;
    std::vector<StateDict> states;
    const auto pass = [](Schedules& some, int64_t step) {
      some.advance(Interval::epoch);
      some.observe(Interval::epoch, {{"loss", step % 7 == 0 ? -static_cast<double>(step) : 1.0}});
    };
    for (int64_t step = 0; step < 20; ++step) {
      StateDict saved = schedules.state_dict();
      saved.values = Value::from_json(saved.values.to_json());
      states.push_back(std::move(saved));
      pass(schedules, step);
      rates.push_back(rate(whole));
    }
    EXPECT_NE(rates.front(), rates.back());
    for (int64_t stop = 1; stop < 20; stop += 4) {
      auto again = make();
      Schedules resumed(again);
      resumed.load_state_dict(states[static_cast<size_t>(stop)]);
      EXPECT_EQ(rate(again), rates[static_cast<size_t>(stop - 1)]);
      for (int64_t step = stop; step < 20; ++step) {
        pass(resumed, step);
        EXPECT_EQ(rate(again), rates[static_cast<size_t>(step)]) << stop << " " << step;
      }
    }
  }
}

TEST(SchedulesPlateau, watches_its_metric_alone) {
  auto optimizers =
      with(std::make_unique<ReduceLROnPlateau>(ReduceLROnPlateauOptions{.patience = 0}),
           {.monitor = "val_loss"});
  Schedules schedules(optimizers);
  EXPECT_TRUE(schedules.watches(Interval::epoch));
  EXPECT_FALSE(schedules.watches(Interval::step));
  for (int i = 0; i < 5; ++i) schedules.advance(Interval::epoch);
  EXPECT_EQ(rate(optimizers), 0.8);
  for (const double loss : {1.0, 2.0}) schedules.observe(Interval::epoch, {{"val_loss", loss}});
  EXPECT_DOUBLE_EQ(rate(optimizers), 0.08);
}

TEST(SchedulesPlateau, reads_its_metric_only_when_it_is_due) {
  auto optimizers = with(std::make_unique<ReduceLROnPlateau>(),
                         {.interval = Interval::step, .frequency = 3, .monitor = "train_loss"});
  Schedules schedules(optimizers);
  std::vector<bool> reads;
  for (int i = 0; i < 6; ++i) {
    reads.push_back(schedules.reads_next(Interval::step));
    EXPECT_FALSE(schedules.reads_next(Interval::epoch));
    schedules.observe(Interval::step, {{"train_loss", 1.0}});
  }
  EXPECT_EQ(reads, (std::vector<bool>{false, false, true, false, false, true}));
}

TEST(SchedulesPlateau, reads_a_metric_of_validation_only_after_a_validation) {
  auto optimizers =
      with(std::make_unique<ReduceLROnPlateau>(), {.interval = Interval::step, .monitor = "loss"});
  Schedules schedules(optimizers);
  UpdateCounts updates;
  const auto observe = [&] {
    const bool reads = schedules.reads_next(Interval::step);
    schedules.observe(Interval::step, {{"loss", 1.0}}, &updates);
    return reads;
  };
  EXPECT_TRUE(observe()) << "it isn't known yet where the metric comes from";
  schedules.note_validation({{"other", 1.0}});
  EXPECT_TRUE(observe());
  for (int i = 0; i < 2; ++i) {
    schedules.note_validation({{"loss", 1.0}});
    ++updates["loss"];
    EXPECT_TRUE(observe());
    EXPECT_FALSE(observe());
  }
  schedules.note_validation({{"loss", 1.0}});
  updates["loss"] += 2;  // training logs it too
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(observe());
}

TEST(SchedulesPlateau, that_was_never_due_is_none_that_got_no_value) {
  auto optimizers = with(std::make_unique<ReduceLROnPlateau>(),
                         {.frequency = 3, .monitor = "val_loss", .strict = false});
  Schedules schedules(optimizers);
  std::vector<size_t> missing;
  for (int i = 0; i < 4; ++i) {
    missing.push_back(schedules.monitors(/*never_seen=*/true).size());
    schedules.observe(Interval::epoch, {});
  }
  EXPECT_EQ(missing, (std::vector<size_t>{0, 0, 0, 1}));
  EXPECT_EQ(schedules.monitors(), std::vector<std::string>{"val_loss"});
}

TEST(SchedulesPlateau, a_missing_metric_is_an_error_unless_it_may_be) {
  auto strict = with(std::make_unique<ReduceLROnPlateau>(), {.monitor = "val_los"});
  Schedules schedules(strict);
  EXPECT_TRUE(says(message_of<ModuleError>([&] {
                     schedules.observe(Interval::epoch, {{"val_loss", 1.0}});
                   }),
                   {"'val_los'", "did you mean 'val_loss'?"}));
  auto lenient =
      with(std::make_unique<ReduceLROnPlateau>(), {.monitor = "val_los", .strict = false});
  Schedules others(lenient);
  others.observe(Interval::epoch, {{"val_loss", 1.0}});
  EXPECT_EQ(rate(lenient), 0.8);
}

TEST(SchedulesState, of_another_number_of_schedulers_is_refused) {
  auto one = with(std::make_unique<StepLR>(StepLROptions{.step_size = 1}));
  Optimizers none(SGD({parameter()}, {.learning_rate = 0.8}));
  EXPECT_TRUE(says(message_of<CheckpointError>(
                       [&] { Schedules(none).load_state_dict(Schedules(one).state_dict()); }),
                   {"the checkpoint has 1 scheduler, this run has 0"}));
  Schedules(none).load_state_dict(Schedules(none).state_dict());
  Schedules(none).load_state_dict({});
}

}  // namespace levin::schedules_test
