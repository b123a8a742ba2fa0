#include <levin/framework/loops/resumed_settings.h>

#include "framework/support.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <utility>

#include <levin/callbacks/early_stopping.h>
#include <levin/callbacks/gradient_accumulation_scheduler.h>
#include <levin/callbacks/model_checkpoint.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/tensor/random.h>

#include "framework/message_of.h"

// A setting that isn't that of the checkpoint takes effect, and a warning says so.

namespace levin::resumed_settings_test {

using test::message_of;
using test::says;

/// Six steps an epoch; it says which learning rate and how many batches a step it has.
class Net : public test::Classifier {
 public:
  explicit Net(double learning_rate, bool decays = false, Interval interval = Interval::epoch)
      : learning_rate_(learning_rate), decays_(decays), interval_(interval) {}
  Optimizers configure_optimizers() override {
    Optimizers optimizers(SGD(parameters(), {.learning_rate = learning_rate_}));
    if (decays_) {
      optimizers.add_scheduler(std::make_unique<ExponentialLR>(ExponentialLROptions{.gamma = 0.5}),
                               {.interval = interval_});
    }
    return optimizers;
  }
  Value hyper_parameters() const override {
    return Value::Object{{"learning_rate", learning_rate_}};
  }
  void on_train_batch_end(const torch::Tensor&, const Batch&, Step& step) override {
    Run& run = step.run();
    rates.push_back(run.optimizers().entries()[0].optimizer->groups()[0].learning_rate);
    accumulate = run.progress().accumulate;
  }

  std::vector<double> rates;
  int64_t accumulate = 0;

 private:
  double learning_rate_;
  bool decays_;
  Interval interval_;
};

/// Points that say in batches of how many rows they are read.
class Told : public test::PointsModule {
 public:
  explicit Told(int64_t batch_size)
      : PointsModule(24, {.batch_size = batch_size}), batch_size_(batch_size) {}
  Value hyper_parameters() const override {
    return Value::Object{{"batch_size", batch_size_}, {"bins", batch_size_}};
  }
  std::vector<std::string> fitted_settings() const override { return {"bins"}; }

 private:
  int64_t batch_size_;
};

class ResumedSettings : public ::testing::Test {
 protected:
  /// Trains and saves; what was printed meanwhile.
  std::string fit(Net& model, TrainerOptions options, bool resumes, int64_t batch_size = 4) {
    options.accelerator = "cpu";
    options.default_root_dir = folder_.string();
    Told data(batch_size);
    Trainer trainer(options);
    const auto path = folder_ / "end.ckpt";
    ::testing::internal::CaptureStderr();
    trainer.fit(model, data, resumes ? path.string() : std::string());
    trainer.save_checkpoint(path);
    return ::testing::internal::GetCapturedStderr();
  }

  test::TemporaryFolder folder_;
};

TEST_F(ResumedSettings, another_learning_rate_takes_effect_and_a_warning_says_so) {
  Net first(0.1);
  EXPECT_EQ(fit(first, {.max_epochs = 1}, false), "");
  Net second(0.01);
  EXPECT_TRUE(says(fit(second, {.max_epochs = 2}, true),
                   {"warning: these settings aren't those of the checkpoint",
                    "learning_rate = 0.01 (0.1)", "model.learning_rate = 0.01 (0.1)"}));
  EXPECT_EQ(second.rates, std::vector<double>(6, 0.01));
  Net third(0.01);
  EXPECT_EQ(fit(third, {.max_epochs = 3}, true), "") << "it is the checkpoint's rate now";
  EXPECT_EQ(third.rates, std::vector<double>(6, 0.01));
}

TEST_F(ResumedSettings, a_schedule_goes_on_from_the_other_learning_rate) {
  Net first(0.8, /*decays=*/true);
  fit(first, {.max_epochs = 1}, false);
  Net second(0.08, /*decays=*/true);
  fit(second, {.max_epochs = 2}, true);
  ASSERT_EQ(second.rates.size(), 6U);
  EXPECT_DOUBLE_EQ(second.rates.front(), 0.04);
}

TEST_F(ResumedSettings, a_schedule_by_steps_in_place_of_one_by_epochs_counts_the_steps) {
  Net first(0.8, /*decays=*/true);
  fit(first, {.max_epochs = 1}, false);
  Net second(0.8, /*decays=*/true, Interval::step);
  fit(second, {.max_epochs = 2}, true);
  ASSERT_EQ(second.rates.size(), 6U);
  EXPECT_DOUBLE_EQ(second.rates.front(), 0.8 / 128.0) << "after the seventh step";
  Net third(0.8, /*decays=*/true);
  fit(third, {.max_epochs = 3}, true);
  EXPECT_DOUBLE_EQ(third.rates.front(), 0.2) << "in the third epoch";
}

TEST_F(ResumedSettings, another_optimizer_or_scheduler_is_refused_with_what_to_do) {
  Net first(0.1);
  fit(first, {.max_epochs = 1}, false);
  class Other : public Net {
   public:
    using Net::Net;
    Optimizers configure_optimizers() override { return Adam(parameters(), {}); }
  } other(0.1);
  Net scheduled(0.1, /*decays=*/true);
  Told data(4);
  for (Module* model : {static_cast<Module*>(&other), static_cast<Module*>(&scheduled)}) {
    Trainer trainer({.accelerator = "cpu", .max_epochs = 2});
    EXPECT_TRUE(says(message_of<CheckpointError>(
                         [&] { trainer.fit(*model, data, (folder_ / "end.ckpt").string()); }),
                     {"give it the optimizer and the scheduler", "Module::load_state_dict"}));
  }
}

TEST_F(ResumedSettings, a_metric_may_be_logged_in_another_way) {
  class Logging : public Net {
   public:
    explicit Logging(LogOptions options) : Net(0.1), options_(options) {}
    void on_train_batch_start(const Batch&, Step& step) override {
      step.log("seen", static_cast<double>(step.global_step()), options_);
    }

   private:
    LogOptions options_;
  };
  Logging first({.on_step = true, .on_epoch = false});
  fit(first, {.max_epochs = 1}, false);
  Logging second({.on_step = false, .on_epoch = true, .reduce = Reduce::max});
  EXPECT_EQ(fit(second, {.max_epochs = 2}, true), "");
  Told data(4);
  Logging third({.on_step = false, .on_epoch = true, .reduce = Reduce::max});
  Trainer trainer({.accelerator = "cpu", .max_epochs = 3});
  EXPECT_EQ(trainer.fit(third, data, (folder_ / "end.ckpt").string()).last("seen"), 17.0);
}

TEST_F(ResumedSettings, another_default_root_dir_gets_the_run_folder) {
  const auto log_dir = [&](const char* root, int64_t epochs, const std::string& checkpoint) {
    Net model(0.1);
    Told data(4);
    TrainerOptions options{.accelerator = "cpu", .max_epochs = epochs};
    if (root != nullptr) options.default_root_dir = (folder_ / root).string();
    Trainer trainer(options);
    trainer.add<ModelCheckpoint>();
    trainer.fit(model, data, checkpoint);
    return std::pair(trainer.run().log_dir(), trainer.best_checkpoint().string());
  };
  const auto [first, checkpoint] = log_dir("one", 1, "");
  EXPECT_EQ(first, folder_ / "one/levin_logs/version_0");
  EXPECT_EQ(log_dir("other", 2, checkpoint).first, folder_ / "other/levin_logs/version_0");
  std::filesystem::create_directory_symlink(folder_ / "one", folder_ / "alias");
  EXPECT_EQ(log_dir("alias", 2, checkpoint).first, first) << "the same folder by another path";
  const auto last = first / "checkpoints" / "epoch=1-step=12.ckpt";
  EXPECT_EQ(log_dir(nullptr, 3, last.string()).first, first) << "no folder was given";
}

TEST_F(ResumedSettings, an_option_that_a_callback_overrides_from_the_start_is_named) {
  const auto printed = [&](int64_t option, const char* scheduling) {
    Net model(0.1);
    Told data(4);
    Trainer trainer({.accelerator = "cpu", .max_epochs = 2, .accumulate_grad_batches = option});
    trainer.add<GradientAccumulationScheduler>({.scheduling = scheduling});
    ::testing::internal::CaptureStderr();
    trainer.fit(model, data);
    return ::testing::internal::GetCapturedStderr();
  };
  EXPECT_TRUE(says(printed(3, "0:2"), {"warning: accumulate_grad_batches = 3 isn't used",
                                       "GradientAccumulationScheduler"}));
  EXPECT_EQ(printed(1, "0:2"), "");
  EXPECT_EQ(printed(2, "0:2, 1:3"), "") << "used in the first epoch";
}

TEST_F(ResumedSettings, a_rate_that_a_hook_has_changed_is_kept_if_the_setting_is_the_same) {
  class Halving : public Net {
   public:
    using Net::Net;
    void on_train_epoch_end(levin::Run& run) override {
      Optimizer& optimizer = *run.optimizers().entries()[0].optimizer;
      optimizer.set_learning_rate(optimizer.groups()[0].learning_rate / 2);
    }
  };
  Halving first(0.8);
  fit(first, {.max_epochs = 1}, false);
  Halving second(0.8);
  EXPECT_EQ(fit(second, {.max_epochs = 2}, true), "");
  EXPECT_DOUBLE_EQ(second.rates.front(), 0.4);
  Halving third(0.4);
  fit(third, {.max_epochs = 3}, true);
  EXPECT_DOUBLE_EQ(third.rates.front(), 0.1) << "a quarter of the other rate";
}

TEST_F(ResumedSettings, a_base_rate_that_a_hook_has_changed_is_kept_if_the_setting_is_the_same) {
  class Lowering : public Net {
   public:
    using Net::Net;
    void on_train_epoch_end(levin::Run& run) override {
      run.optimizers().entries()[0].optimizer->groups()[0].base_learning_rate /= 2;
    }
  };
  Lowering first(0.8, /*decays=*/true);
  fit(first, {.max_epochs = 1}, false);
  Lowering second(0.8, /*decays=*/true);
  EXPECT_EQ(fit(second, {.max_epochs = 2}, true), "");
  EXPECT_DOUBLE_EQ(second.rates.front(), 0.2) << "half of the lower rate";
  Lowering third(0.4, /*decays=*/true);
  EXPECT_TRUE(says(fit(third, {.max_epochs = 3}, true), {"learning_rate = 0.4 (0.8)"}));
  EXPECT_DOUBLE_EQ(third.rates.front(), 0.025) << "a quarter, by the hook, of a quarter";
}

TEST_F(ResumedSettings, a_checkpoint_without_the_configured_rates_is_compared_by_its_base_rates) {
  Net first(0.1);
  fit(first, {.max_epochs = 1}, false);
  StateDict old = load_checkpoint(folder_ / "end.ckpt");
  old.values["loop"].as_object().erase("configured_rates");
  save_checkpoint(folder_ / "end.ckpt", old);
  Net second(0.01);
  EXPECT_TRUE(says(fit(second, {.max_epochs = 2}, true), {"learning_rate = 0.01 (0.1)"}));
  EXPECT_EQ(second.rates, std::vector<double>(6, 0.01));
}

TEST_F(ResumedSettings, another_accumulation_takes_effect) {
  Net first(0.1);
  fit(first, {.max_epochs = 1, .accumulate_grad_batches = 2}, false);
  Net same(0.1);
  fit(same, {.max_epochs = 2, .accumulate_grad_batches = 2}, true);
  EXPECT_EQ(same.accumulate, 2);
  Net other(0.1);
  fit(other, {.max_epochs = 3, .accumulate_grad_batches = 3}, true);
  EXPECT_EQ(other.accumulate, 3);
}

TEST_F(ResumedSettings, what_a_callback_made_of_the_accumulation_goes_on) {
  class Accumulating : public Net {
   public:
    using Net::Net;
    void on_train_epoch_end(levin::Run& run) override {
      if (run.epoch() == 0) run.accumulate(5);
    }
  };
  Accumulating first(0.1);
  fit(first, {.max_epochs = 1}, false);
  Accumulating second(0.1);
  fit(second, {.max_epochs = 2}, true);
  EXPECT_EQ(second.accumulate, 5);
}

TEST_F(ResumedSettings, other_settings_of_the_data_are_named) {
  Net first(0.1);
  fit(first, {.max_epochs = 1}, false, /*batch_size=*/4);
  Net second(0.1);
  EXPECT_TRUE(says(fit(second, {.max_epochs = 2}, true, /*batch_size=*/8),
                   {"They count from here on: data.batch_size = 8 (4)"}));
}

TEST_F(ResumedSettings, another_batch_size_does_not_count_if_the_number_of_ranks_changed) {
  Net first(0.1);
  fit(first, {.max_epochs = 1}, false, /*batch_size=*/4);
  StateDict of_two = load_checkpoint(folder_ / "end.ckpt");
  StateDict ranks = of_two.child("ranks");
  StateDict second_rank;
  second_rank.add("random", of_two.child("random"));
  second_rank.add("metrics", of_two.child("loop").child("train_metrics"));
  ranks.add("1", second_rank);
  ranks.values["world_size"] = 2;
  ranks.values["data_ranks"] = 2;
  of_two.add("ranks", ranks);
  save_checkpoint(folder_ / "end.ckpt", of_two);
  Net second(0.1);
  EXPECT_EQ(fit(second, {.max_epochs = 2}, true, /*batch_size=*/8), "");
  EXPECT_EQ(second.rates.size(), 6U) << "four rows a step, as before";
}

TEST_F(ResumedSettings, a_seed_that_is_not_used_is_named) {
  seed_everything(3);
  Net first(0.1);
  fit(first, {.max_epochs = 1}, false);
  seed_everything(4);
  Net second(0.1);
  EXPECT_TRUE(says(fit(second, {.max_epochs = 2}, true),
                   {"warning: the seed 4 isn't used", "whose seed is 3"}));
  EXPECT_EQ(global_seed(), 3U);
  seed_everything(0);
}

TEST_F(ResumedSettings, a_fit_with_nothing_left_to_train_says_so) {
  Net first(0.1);
  fit(first, {.max_epochs = 1}, false);
  Net second(0.1);
  EXPECT_TRUE(says(fit(second, {.max_epochs = 1}, true),
                   {"warning: nothing was trained", "after 1 epoch and 6 steps",
                    "max_epochs ends the fit there; raise it"}));
}

TEST_F(ResumedSettings, a_fit_that_resumes_after_the_last_batch_of_its_last_epoch_says_so) {
  class Saving : public Net {
   public:
    using Net::Net;
    void on_validation_end(levin::Run& run) override {
      if (!run.progress().sanity_checking()) run.save("validated.ckpt");
    }
  } first(0.1);
  Told data(4);
  Trainer trainer({.accelerator = "cpu", .max_epochs = 1, .default_root_dir = folder_.string()});
  trainer.fit(first, data);
  const auto path = trainer.run().log_dir() / "validated.ckpt";
  Net second(0.1);
  Trainer resumed({.accelerator = "cpu", .max_epochs = 1, .default_root_dir = folder_.string()});
  ::testing::internal::CaptureStderr();
  resumed.fit(second, data, path.string());
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_TRUE(
      says(text, {"warning: nothing was trained", "after 1 epoch and 6 steps", "max_epochs"}));
  EXPECT_EQ(text.find("no optimizer step"), std::string::npos) << text;
}

TEST_F(ResumedSettings, a_resumed_fit_that_a_callback_ends_at_once_gives_its_reason) {
  Net first(0.1);
  fit(first, {.max_epochs = 1}, false);
  class Refusing : public Net {
   public:
    using Net::Net;
    void on_train_start(levin::Run& run) override { run.stop("no more time"); }
  } second(0.1);
  const std::string text = fit(second, {.max_epochs = 2}, true);
  EXPECT_TRUE(says(text, {"warning: nothing was trained", "a callback ended the fit: no more"}));
  EXPECT_EQ(text.find("raise it"), std::string::npos) << text;
}

TEST_F(ResumedSettings, the_state_of_a_callback_that_is_missing_is_named) {
  test::PointsModule data(24, {.batch_size = 4});
  const auto path = folder_ / "with.ckpt";
  Net first(0.1);
  Trainer trainer({.accelerator = "cpu", .max_epochs = 1});
  trainer.add<EarlyStopping>({.monitor = "val_loss"});
  trainer.fit(first, data);
  trainer.save_checkpoint(path);
  Net second(0.1);
  Trainer without({.accelerator = "cpu", .max_epochs = 2});
  ::testing::internal::CaptureStderr();
  without.fit(second, data, path.string());
  EXPECT_TRUE(
      says(::testing::internal::GetCapturedStderr(),
           {"states of callbacks that this fit doesn't have", "EarlyStopping:val_loss:min"}));
}

TEST_F(ResumedSettings, weights_of_a_model_with_other_settings_are_tested_with_a_warning) {
  Net first(0.1);
  fit(first, {.max_epochs = 1}, false);
  Told data(4);
  const auto printed = [&](double learning_rate) {
    Net model(learning_rate);
    Trainer trainer({.accelerator = "cpu"});
    ::testing::internal::CaptureStderr();
    trainer.test(model, data, (folder_ / "end.ckpt").string());
    return ::testing::internal::GetCapturedStderr();
  };
  EXPECT_EQ(printed(0.1), "");
  EXPECT_TRUE(says(printed(0.2), {"warning: the weights of", "model.learning_rate = 0.2 (0.1)"}));
}

TEST(ChangedSettings, are_named_with_both_values) {
  const Value then = Value::Object{{"a", 1}, {"b", "x"}, {"gone", 2.5}};
  const Value now = Value::Object{{"a", 1}, {"b", "y"}, {"new", true}};
  EXPECT_EQ(changed_settings("m.", then, now),
            (std::vector<std::string>{"m.b = \"y\" (\"x\")", "m.gone = not set (2.5)",
                                      "m.new = true (not set)"}));
  EXPECT_EQ(changed_settings("m.", Value(), now), std::vector<std::string>{});
}

}  // namespace levin::resumed_settings_test
