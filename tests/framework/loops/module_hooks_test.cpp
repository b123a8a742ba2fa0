// What a module may override besides its steps: clipping, schedules, callbacks of its own, loading.
#include "framework/message_of.h"
#include "framework/support.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/run/module_callbacks.h>
#include <levin/framework/trainer/tuner.h>

namespace levin::module_hooks_test {

using test::message_of;
using test::same_bits;
using test::says;
using test::TemporaryFolder;

TrainerOptions options_of(const TemporaryFolder& folder, int64_t max_epochs = 1) {
  return {.accelerator = "cpu",
          .max_epochs = max_epochs,
          .limit_val_batches = 0,
          .default_root_dir = folder.string()};
}

/// The weights after 4 steps from the same start.
StateDict weights_after(test::Classifier& model, TrainerOptions options) {
  torch::NoGradGuard no_grad;
  int64_t number = 0;
  for (auto& parameter : model.parameters()) {
    parameter.copy_(torch::linspace(-1, 1, parameter.numel()).view(parameter.sizes()));
    parameter.add_(0.1 * static_cast<double>(++number));
  }
  test::PointsModule data(24, {.batch_size = 6});
  Trainer(std::move(options)).fit(model, data);
  return model.state_dict().clone();
}

bool are_same(const StateDict& a, const StateDict& b) {
  for (const auto& [name, tensor] : a.tensors) {
    if (!same_bits(tensor, b.tensor(name))) return false;
  }
  return true;
}

/// Plain SGD, whose steps depend on the size of gradients.
class ByHand : public test::Classifier {
 public:
  explicit ByHand(std::function<void(Step&)> clip = {}) : clip_(std::move(clip)) {}
  void configure_gradient_clipping(Optimizer& optimizer, Step& step) override {
    if (!clip_) return Module::configure_gradient_clipping(optimizer, step);
    clip_(step);
  }
  void on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) override {
    const auto norm = step.gradient_norm();
    norms.push_back(norm.defined() ? norm.item<double>() : -1.0);
  }
  Optimizers configure_optimizers() override { return SGD(parameters(), {.learning_rate = 0.1}); }
  std::vector<double> norms;

 private:
  std::function<void(Step&)> clip_;
};

TEST(GradientClipping, of_the_module_replaces_that_of_the_trainer) {
  TemporaryFolder folder;
  auto clipped = options_of(folder);
  clipped.gradient_clip_val = 0.05;
  auto by_value = clipped;
  by_value.gradient_clip_algorithm = "value";
  ByHand as_options_say;
  const auto expected = weights_after(as_options_say, clipped);

  ByHand by_norm([](Step& step) { step.clip_gradients(0, 0.05); });
  EXPECT_TRUE(are_same(weights_after(by_norm, options_of(folder)), expected));
  EXPECT_EQ(by_norm.norms, as_options_say.norms) << "gradient_norm is what the module found";
  EXPECT_GT(by_norm.norms.front(), 0.05);

  ByHand values([](Step& step) { step.clip_gradient_values(0, 0.05); });
  const auto of_values = weights_after(values, clipped);
  ByHand values_as_options_say;
  EXPECT_TRUE(are_same(of_values, weights_after(values_as_options_say, by_value)));
  EXPECT_EQ(values.norms.front(), -1.0);

  ByHand nothing([](Step&) {});
  ByHand without;
  const auto free = weights_after(without, options_of(folder));
  EXPECT_TRUE(are_same(weights_after(nothing, clipped), free));
  EXPECT_FALSE(are_same(free, expected));
}

TEST(GradientClipping, may_call_nothing_else_of_the_step_and_nothing_else_may_call_it) {
  TemporaryFolder folder;
  const auto refusal = [&](std::function<void(Step&)> clip) {
    ByHand model(std::move(clip));
    return message_of<ModuleError>([&] { weights_after(model, options_of(folder)); });
  };
  EXPECT_TRUE(says(refusal([](Step& step) { step.step(0); }),
                   {"Step::step", "configure_gradient_clipping", "clip_by_options"}));
  EXPECT_TRUE(says(refusal([](Step& step) { step.clip_gradients(1, 0.1); }),
                   {"Step::clip_gradients(1)", "its number is 0"}));
  class Elsewhere : public test::Classifier {
    void on_after_backward(Step& step) override { step.clip_by_options(); }
  } elsewhere;
  EXPECT_TRUE(says(message_of<ModuleError>([&] { weights_after(elsewhere, options_of(folder)); }),
                   {"Step::clip_by_options"}));
}

/// Halves the rate with each step, as far as `steps` lets it; notes the rate of each step.
class Scheduled : public test::Classifier {
 public:
  explicit Scheduled(std::function<void(ScheduleStep&, int64_t)> steps)
      : steps_(std::move(steps)) {}
  void lr_scheduler_step(ScheduleStep& schedule) override { steps_(schedule, calls++); }
  void on_before_optimizer_step(Optimizer& optimizer, Step&) override {
    rates.push_back(optimizer.groups().front().learning_rate);
  }
  Optimizers configure_optimizers() override {
    return {SGD(parameters(), {.learning_rate = 1.0}),
            ExponentialLR({.gamma = 0.5}),
            {.interval = Interval::step}};
  }
  int64_t calls = 0;
  std::vector<double> rates;

 private:
  std::function<void(ScheduleStep&, int64_t)> steps_;
};

TEST(LrSchedulerStep, of_the_module_leaves_a_scheduler_or_moves_it) {
  TemporaryFolder folder;
  test::PointsModule data(24, {.batch_size = 4});  // 6 steps
  Scheduled leaves([](ScheduleStep& schedule, int64_t call) {
    if (call >= 2) schedule.step();
  });
  Trainer(options_of(folder)).fit(leaves, data);
  EXPECT_EQ(leaves.rates, (std::vector<double>{1, 1, 1, 0.5, 0.25, 0.125}));
  Scheduled moves([](ScheduleStep& schedule, int64_t call) {
    EXPECT_EQ(schedule.config().interval, Interval::step);
    EXPECT_FALSE(schedule.metric().has_value());
    schedule.step();
    if (call == 2) schedule.step_to(0);
  });
  Trainer(options_of(folder)).fit(moves, data);
  EXPECT_EQ(moves.rates, (std::vector<double>{1, 0.5, 0.25, 1, 0.5, 0.25}));
}

TEST(LrSchedulerStep, goes_on_where_it_was_after_a_resume) {
  TemporaryFolder folder;
  test::PointsModule data(8, {.batch_size = 4});  // 2 steps an epoch
  const auto every_other = [](ScheduleStep& schedule, int64_t call) {
    if (call % 2 == 1) schedule.step();
  };
  Scheduled first(every_other);
  Trainer trainer(options_of(folder, 2));
  trainer.fit(first, data);
  trainer.save_checkpoint(folder.path() / "half.ckpt");
  Scheduled second(every_other);
  Trainer(options_of(folder, 4)).fit(second, data, (folder.path() / "half.ckpt").string());
  first.rates.insert(first.rates.end(), second.rates.begin(), second.rates.end());
  EXPECT_EQ(first.rates, (std::vector<double>{1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125}));
}

/// Watches a loss that gets no better.
class Watches : public test::Classifier {
 public:
  explicit Watches(bool lets) : lets_(lets) {}
  Optimizers configure_optimizers() override {
    return {SGD(parameters(), {.learning_rate = 1e-6}),
            ReduceLROnPlateau({.patience = 0}),
            {.monitor = "train_loss_epoch"}};
  }
  void lr_scheduler_step(ScheduleStep& schedule) override {
    EXPECT_TRUE(schedule.metric().has_value());
    if (lets_) schedule.step();
  }
  void on_before_optimizer_step(Optimizer& optimizer, Step&) override {
    last_rate = optimizer.groups().front().learning_rate;
  }
  double last_rate = 0.0;

 private:
  bool lets_;
};

TEST(LrSchedulerStep, decides_whether_a_plateau_sees_its_metric) {
  for (const bool lets : {false, true}) {
    TemporaryFolder folder;
    test::PointsModule data(8, {.batch_size = 4});
    Watches model(lets);
    Trainer(options_of(folder, 3)).fit(model, data);
    EXPECT_NEAR(model.last_rate, lets ? 1e-7 : 1e-6, 1e-12);
  }
}

/// Counts its hooks, and has a state.
class Counting : public Callback {
 public:
  explicit Counting(std::vector<std::string>* log = nullptr, std::string name = "")
      : log_(log), name_(std::move(name)) {}
  void on_train_epoch_end(Run&) override {
    ++epochs;
    if (log_ != nullptr) log_->push_back(name_ + std::to_string(epochs));
  }
  std::string state_key() const override { return "Counting"; }
  StateDict state_dict() const override {
    StateDict state;
    state.values["epochs"] = epochs;
    return state;
  }
  void load_state_dict(const StateDict& state) override {
    epochs = state.values.at("epochs").as_int();
  }
  int64_t epochs = 0;

 private:
  std::vector<std::string>* log_;
  std::string name_;
};

/// Another class, which nothing replaces.
class Other : public Counting {
 public:
  using Counting::Counting;
  std::string state_key() const override { return "Other"; }
};

class Brings : public test::Classifier {
 public:
  explicit Brings(std::vector<std::string>& log) : log_(log) {}
  ModuleCallbacks configure_callbacks() override {
    ModuleCallbacks callbacks;
    callbacks.add<Counting>(&log_, "module");
    return callbacks;
  }

 private:
  std::vector<std::string>& log_;
};

TEST(ConfigureCallbacks, come_after_the_trainers_and_replace_those_of_their_class) {
  TemporaryFolder folder;
  std::vector<std::string> log;
  test::PointsModule data(8, {.batch_size = 4});
  Brings model(log);
  Trainer trainer(options_of(folder));
  trainer.add<Counting>(&log, "replaced");
  trainer.add<Other>(&log, "other");
  testing::internal::CaptureStderr();
  trainer.fit(model, data);
  EXPECT_TRUE(says(testing::internal::GetCapturedStderr(),
                   {"note: the Counting that the module brings takes the place"}));
  EXPECT_EQ(log, (std::vector<std::string>{"other1", "module1"}));
  EXPECT_EQ(trainer.callbacks().size(), 2U);
  test::Classifier plain;
  log.clear();
  trainer.fit(plain, data);
  EXPECT_EQ(log, (std::vector<std::string>{"replaced1", "other2"})) << "each stage asks anew";
}

TEST(ConfigureCallbacks, are_in_checkpoints_and_go_on) {
  TemporaryFolder folder;
  std::vector<std::string> log;
  test::PointsModule data(8, {.batch_size = 4});
  Brings model(log);
  Trainer trainer(options_of(folder, 2));
  trainer.fit(model, data);
  trainer.save_checkpoint(folder.path() / "half.ckpt");
  Brings resumed(log);
  Trainer(options_of(folder, 3)).fit(resumed, data, (folder.path() / "half.ckpt").string());
  EXPECT_EQ(log, (std::vector<std::string>{"module1", "module2", "module3"}));
}

TEST(ConfigureCallbacks, are_left_out_of_a_search_for_a_learning_rate) {
  TemporaryFolder folder;
  std::vector<std::string> log;
  test::PointsModule data(8, {.batch_size = 4});
  Brings model(log);
  auto options = options_of(folder);
  lr_find(options, model, data, {.num_training = 6});
  EXPECT_TRUE(log.empty());
}

/// A classifier with one layer more, or that may be loaded loosely.
class Longer : public test::Classifier {
 public:
  explicit Longer(bool strict) : strict_(strict) {
    more_ = register_module("more", torch::nn::Linear(2, 2));
  }
  bool strict_loading() const override { return strict_; }
  torch::nn::Linear more_{nullptr};

 private:
  bool strict_;
};

TEST(StrictLoading, names_what_is_missing_once_where_the_module_allows_it) {
  TemporaryFolder folder;
  test::PointsModule data(8, {.batch_size = 4});
  test::Classifier shorter;
  Trainer trainer(options_of(folder));
  trainer.fit(shorter, data);
  const auto path = (folder.path() / "short.ckpt").string();
  trainer.save_checkpoint(path);
  Longer strict(true);
  EXPECT_TRUE(says(
      message_of<CheckpointError>([&] { Trainer(options_of(folder)).test(strict, data, path); }),
      {"'more.weight'", "is missing"}));
  Longer loose(false);
  const auto more = loose.more_->weight.detach().clone();
  testing::internal::CaptureStderr();
  Trainer(options_of(folder)).test(loose, data, path);
  const auto said = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(says(said, {"short.ckpt", "strict_loading", "'more.weight'", "'more.bias'"}));
  EXPECT_EQ(said.find("doesn't fit"), said.rfind("doesn't fit")) << "one message: " << said;
  EXPECT_TRUE(same_bits(loose.more_->weight, more));
  EXPECT_TRUE(same_bits(loose.state_dict().tensor("hidden.weight"),
                        shorter.state_dict().tensor("hidden.weight")));
}

/// Doesn't save its first layer, which it makes itself.
class LeavesOut : public test::Classifier {
 public:
  bool strict_loading() const override { return false; }
  void on_save_checkpoint(StateDict& checkpoint, Run&) override {
    for (const char* name : {"model.hidden.weight", "model.hidden.bias"}) {
      EXPECT_EQ(checkpoint.tensors.erase(name), 1U) << name;
    }
  }
};

TEST(StrictLoading, lets_a_fit_go_on_without_a_part_that_was_not_saved) {
  TemporaryFolder folder;
  test::PointsModule data(8, {.batch_size = 4});
  LeavesOut model;
  Trainer trainer(options_of(folder));
  trainer.fit(model, data);
  const auto path = (folder.path() / "part.ckpt").string();
  trainer.save_checkpoint(path);
  LeavesOut resumed;
  testing::internal::CaptureStderr();
  Trainer(options_of(folder, 2)).fit(resumed, data, path);
  EXPECT_TRUE(says(testing::internal::GetCapturedStderr(),
                   {"strict_loading", "'hidden.weight'", "keeps the values"}));
}

/// Logs two values of a step in one call, a list of them, and two of the epoch.
class LogsDicts : public test::Classifier {
 public:
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    auto loss = Classifier::training_step(batch, step);
    step.log_dict({{"twice", loss * 2}, {"two", 2.0}}, {.on_epoch = true, .prog_bar = true});
    step.log_dict(MetricMap{{"three", 3.0}, {"four", 4.0}});
    return loss;
  }
  void on_train_epoch_end(Run& run) override {
    run.log_dict({{"five", 5.0}, {"six", torch::tensor(6.0)}});
  }
};

TEST(LogDict, logs_each_value_with_the_options_of_all) {
  TemporaryFolder folder;
  test::PointsModule data(8, {.batch_size = 4});
  LogsDicts model;
  Trainer trainer(options_of(folder));
  trainer.fit(model, data);
  const auto& all = trainer.run().metrics();
  EXPECT_NEAR(all.at("twice_epoch"), 2 * all.at("train_loss_epoch"), 1e-6);
  for (const auto& [name, value] :
       MetricMap{{"two", 2}, {"three", 3}, {"four", 4}, {"five", 5}, {"six", 6}}) {
    EXPECT_EQ(all.at(name), value) << name;
  }
  EXPECT_TRUE(trainer.run().progress_bar_metrics().contains("two_epoch"));
  EXPECT_FALSE(trainer.run().progress_bar_metrics().contains("three"));
}

TEST(ModulePlace, is_that_of_its_parameters) {
  test::Classifier model;
  EXPECT_TRUE(model.device().is_cpu());
  EXPECT_FALSE(model.on_gpu());
  EXPECT_EQ(model.dtype(), torch::kFloat);
  model.to(torch::kDouble);
  EXPECT_EQ(model.dtype(), torch::kDouble);
  class Bare : public Module {
  } bare;
  EXPECT_TRUE(bare.device().is_cpu());
  EXPECT_EQ(bare.dtype(), torch::kFloat);
}

}  // namespace levin::module_hooks_test
