#include <levin/framework/trainer/trainer.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/config/registry.h>

#include "framework/support.h"

// Callbacks and loggers without settings need neither Options nor a state_key.

namespace levin::adding_test {

/// Counts steps, and keeps the count in checkpoints.
class CountsSteps : public Callback {
 public:
  CountsSteps() = default;
  explicit CountsSteps(int64_t first) : steps(first) {}
  void on_train_batch_end(const torch::Tensor&, const Batch&, Step&) override { ++steps; }
  StateDict state_dict() const override {
    StateDict state;
    state.values["steps"] = steps;
    return state;
  }
  void load_state_dict(const StateDict& state) override {
    steps = state.values.at("steps").as_int();
  }
  int64_t steps = 0;
};

struct LimitOptions {
  int64_t limit = 1;
};
class Limit : public Callback {
 public:
  using Options = LimitOptions;
  explicit Limit(LimitOptions given) : options(given) {}
  LimitOptions options;
};
/// Inherits the name Options, but isn't made from them.
class LimitOfSeven : public Limit {
 public:
  LimitOfSeven() : Limit({.limit = 7}) {}
};

class CountsRows : public Logger {
 public:
  void start(Run&) override {}
  void log_metrics(const MetricMap&, int64_t, int64_t) override { ++rows; }
  int64_t rows = 0;
};

TEST(Adding, a_callback_without_options_is_added_by_its_class_alone) {
  Trainer trainer({.accelerator = "cpu", .max_epochs = 1});
  const auto& callback = trainer.add<CountsSteps>();
  const auto& later = trainer.add<CountsSteps>(int64_t{100});
  EXPECT_EQ(trainer.add<Limit>().options.limit, 1);
  EXPECT_EQ(trainer.add<Limit>({.limit = 3}).options.limit, 3);
  EXPECT_EQ(trainer.add<LimitOfSeven>().options.limit, 7);
  test::Classifier model;
  test::PointsModule data(30, {.batch_size = 10});
  trainer.fit(model, data);
  EXPECT_EQ(callback.steps, 3);
  EXPECT_EQ(later.steps, 103);
}

TEST(Adding, a_logger_without_options_is_added_by_its_class_alone) {
  const test::TemporaryFolder folder;
  Trainer trainer({.accelerator = "cpu",
                   .max_epochs = 1,
                   .log_every_n_steps = 1,
                   .default_root_dir = folder.string()});
  const auto& logger = trainer.add_logger<CountsRows>();
  test::Classifier model;
  test::PointsModule data(30, {.batch_size = 10});
  trainer.fit(model, data);
  EXPECT_GE(logger.rows, 3);
}

/// Writes down what it is told.
class Notes : public Logger {
 public:
  void start(Run&) override { calls.emplace_back("start"); }
  void log_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) override {
    note("step", metrics, epoch, step);
  }
  void log_epoch_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) override {
    note("epoch", metrics, epoch, step);
  }
  void log_hyper_parameters(const Value& settings) override { calls.push_back(settings.to_json()); }
  void finish(bool failed) override { calls.emplace_back(failed ? "failed" : "finished"); }
  std::vector<std::string> calls;

 private:
  void note(const char* what, const MetricMap& metrics, int64_t epoch, int64_t step) {
    std::string call = what + std::to_string(epoch) + " " + std::to_string(step);
    for (const auto& [name, value] : metrics) call += " " + name + "=" + std::to_string(value);
    calls.push_back(std::move(call));
  }
};

TEST(Adding, several_loggers_are_told_the_same_and_how_the_fit_ended) {
  class Breaking : public test::Classifier {
    void on_train_epoch_end(levin::Run& run) override {
      if (run.epoch() == 1) throw std::runtime_error("broken");
    }
  } model;
  const test::TemporaryFolder folder;
  test::PointsModule data(30, {.batch_size = 10});
  for (const int64_t max_epochs : {1, 2}) {
    Trainer trainer({.accelerator = "cpu",
                     .max_epochs = max_epochs,
                     .log_every_n_steps = 1,
                     .default_root_dir = folder.string()});
    const auto& first = trainer.add_logger<Notes>();
    const auto& second = trainer.add_logger<Notes>();
    if (max_epochs == 1) {
      trainer.fit(model, data);
    } else {
      EXPECT_THROW(trainer.fit(model, data), std::runtime_error);
    }
    EXPECT_EQ(first.calls, second.calls);
    ASSERT_FALSE(first.calls.empty());
    EXPECT_EQ(first.calls.front(), "start");
    EXPECT_EQ(first.calls.back(), max_epochs == 1 ? "finished" : "failed");
    const auto has = [&](const char* beginning) {
      return std::count_if(first.calls.begin(), first.calls.end(),
                           [&](const auto& call) { return call.rfind(beginning, 0) == 0; });
    };
    EXPECT_EQ(has("step"), 3 * max_epochs);
    EXPECT_GE(has("epoch"), max_epochs);
    EXPECT_EQ(has("finished") + has("failed"), 1);
  }
}

TEST(Adding, a_state_is_saved_under_the_name_of_its_class_and_found_again) {
  const test::TemporaryFolder folder;
  const auto path = folder / "end.ckpt";
  test::Classifier model;
  test::PointsModule data(30, {.batch_size = 10});
  const auto trainer_of = [&](int64_t epochs) {
    return Trainer(
        {.accelerator = "cpu", .max_epochs = epochs, .default_root_dir = folder.string()});
  };
  EXPECT_EQ(CountsRows().state_key(), "CountsRows");
  Trainer first = trainer_of(1);
  EXPECT_EQ(first.add<CountsSteps>().state_key(), "CountsSteps");
  first.add<CountsSteps>(int64_t{100});
  first.fit(model, data);
  first.save_checkpoint(path);
  const StateDict states = load_checkpoint(path).child("callbacks");
  EXPECT_EQ(states.child("CountsSteps").values.at("steps"), Value(3));
  EXPECT_EQ(states.child("CountsSteps#1").values.at("steps"), Value(103));

  Trainer second = trainer_of(2);
  const auto& one = second.add<CountsSteps>();
  const auto& other = second.add<CountsSteps>();
  second.fit(model, data, path.string());
  EXPECT_EQ(one.steps, 6);
  EXPECT_EQ(other.steps, 106);
}

class Plain : public test::Classifier {};

TEST(Adding, classes_without_options_are_registered_and_made_with_no_settings) {
  Registry registry;
  registry.models.add<Plain>("Plain", "a model without settings");
  registry.callbacks.add<CountsSteps>("CountsSteps");
  registry.loggers.add<CountsRows>("CountsRows");
  const auto model = registry.models.make("Plain", {}, registry.optimizers);
  EXPECT_EQ(model->class_name(), "Plain");
  EXPECT_EQ(model->hyper_parameters(), Value(Value::Object{}));
  EXPECT_NE(registry.callbacks.make("CountsSteps", {}), nullptr);
  EXPECT_TRUE(registry.callbacks.hooks(registry.callbacks.at("CountsSteps"))
                  .has(BatchHook::train_batch_end));
  EXPECT_NE(registry.loggers.make("CountsRows", Value::Object{}), nullptr);
}

}  // namespace levin::adding_test
