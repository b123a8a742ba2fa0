#include "framework/support.h"

#include <gtest/gtest.h>

#include <map>

#include <levin/callbacks/early_stopping.h>
#include <levin/callbacks/model_checkpoint.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>

#include "framework/message_of.h"

// Whoever watches a metric acts on each of its values once, and not on values of before.

namespace levin::new_values_test {

using test::message_of;
using test::says;
using Values = std::vector<double>;

/// Writes down what it is told.
class Watcher : public Scheduler {
 public:
  explicit Watcher(Values& seen) : seen_(seen) {}
  double factor(int64_t) const override { return 1.0; }
  bool needs_metric() const override { return true; }
  void observe(double metric) override { seen_.push_back(metric); }

 private:
  Values& seen_;
};

/// Validation logs "score" 0, 1, 2 ...: once in each of the passes that `logs` says, of those in
/// training. Each step logs the number of steps so far as "steps" if `logs_steps`.
class Scored : public test::Classifier {
 public:
  explicit Scored(ScheduleOptions schedule) : schedule_(std::move(schedule)) {}
  torch::Tensor training_step(const Batch& batch, Step& step) override {
    if (step.global_step() % 3 == 0) {
      step.log("steps", static_cast<double>(step.global_step()));
    }
    return Classifier::training_step(batch, step);
  }
  void on_validation_epoch_end(levin::Run& run) override {
    const bool counts = !run.progress().sanity_checking();
    if (counts && passes_ % logs_every == 0) run.log("score", score(passes_));
    if (counts) ++passes_;
  }
  Optimizers configure_optimizers() override {
    Optimizers optimizers(SGD(parameters(), {.learning_rate = 0.5}));
    if (!schedule_.monitor.empty()) {
      optimizers.add_scheduler(std::make_unique<Watcher>(seen), schedule_);
    }
    return optimizers;
  }
  virtual double score(int64_t pass) const { return static_cast<double>(pass); }

  Values seen;
  int64_t logs_every = 1;

 private:
  ScheduleOptions schedule_;
  int64_t passes_ = 0;
};

TrainerOptions cpu(TrainerOptions options) {
  options.accelerator = "cpu";
  return options;
}

/// Three steps an epoch.
class NewValues : public ::testing::Test {
 protected:
  test::TemporaryFolder folder_;
  test::PointsModule data_{18, {.batch_size = 6}};
};

TEST_F(NewValues, a_scheduler_waits_for_the_validation_of_every_second_epoch) {
  for (const bool strict : {true, false}) {
    Scored model({.monitor = "score", .strict = strict});
    Trainer trainer(cpu({.max_epochs = 5, .check_val_every_n_epoch = 2}));
    trainer.fit(model, data_);
    EXPECT_EQ(model.seen, (Values{0.0, 1.0})) << "epochs 1 and 3 validate";
  }
}

TEST_F(NewValues, a_plateau_counts_each_validation_once) {
  class Flat : public Scored {
   public:
    Flat() : Scored({}) {}
    double score(int64_t) const override { return 1.0; }
    Optimizers configure_optimizers() override {
      return {SGD(parameters(), {.learning_rate = 1.0}),
              ReduceLROnPlateau({.factor = 0.5, .patience = 1}),
              {.monitor = "score", .strict = false}};
    }
    void on_train_end(levin::Run& run) override {
      rate = run.optimizers().entries()[0].optimizer->groups()[0].learning_rate;
    }
    double rate = 0.0;
  } model;
  Trainer trainer(cpu({.max_epochs = 5, .check_val_every_n_epoch = 2}));
  trainer.fit(model, data_);
  EXPECT_EQ(model.rate, 1.0) << "two values, of which the second is the first without improvement";
}

TEST_F(NewValues, a_metric_that_only_some_validations_log_counts_only_then) {
  Scored model({.monitor = "score"});
  model.logs_every = 3;
  Trainer trainer(cpu({.max_epochs = 5}));
  const auto& stopping = trainer.add<EarlyStopping>({.monitor = "score", .patience = 2});
  trainer.fit(model, data_);
  EXPECT_EQ(model.seen, (Values{0.0, 3.0}));
  EXPECT_EQ(stopping.wait_count(), 1);
}

TEST_F(NewValues, a_scheduler_by_steps_acts_without_any_validation_and_once_for_each_value) {
  Scored model({.interval = Interval::step, .monitor = "steps"});
  Trainer trainer(cpu({.max_epochs = 2, .limit_val_batches = 0}));
  trainer.fit(model, data_);
  EXPECT_EQ(model.seen, (Values{0.0, 3.0}));
  Scored validating({.interval = Interval::step, .monitor = "score"});
  Trainer other(cpu({.max_epochs = 2}));
  other.fit(validating, data_);
  EXPECT_EQ(validating.seen, (Values{0.0, 1.0})) << "once for each validation";
}

TEST_F(NewValues, a_plateau_by_steps_acts_after_each_validation_of_an_epoch) {
  class Rates : public Scored {
   public:
    Rates() : Scored({}) {}
    double score(int64_t) const override { return 1.0; }
    void on_train_batch_start(const Batch&, Step& step) override {
      const auto& entries = step.run().optimizers().entries();
      rates.push_back(entries[0].optimizer->groups()[0].learning_rate);
    }
    Optimizers configure_optimizers() override {
      return {SGD(parameters(), {.learning_rate = 1.0}),
              ReduceLROnPlateau({.factor = 0.5, .patience = 0}),
              {.interval = Interval::step, .monitor = "score"}};
    }
    Values rates;
  } model;
  test::PointsModule data(48, {.batch_size = 6});
  Trainer(cpu({.max_epochs = 1, .val_check_interval = 2})).fit(model, data);
  // A validation follows every second step, and the first value is the best one.
  EXPECT_EQ(model.rates, (Values{1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25}));
}

TEST_F(NewValues, a_strict_scheduler_still_refuses_a_metric_that_nobody_logs) {
  Scored model({.monitor = "scores"});
  Trainer trainer(
      cpu({.max_epochs = 5, .check_val_every_n_epoch = 2, .default_root_dir = folder_.string()}));
  EXPECT_TRUE(says(message_of<ModuleError>([&] { trainer.fit(model, data_); }),
                   {"'scores'", "did you mean 'score'?"}));
  EXPECT_EQ(trainer.run().epoch(), 1) << "after the first epoch that validates";
}

TEST_F(NewValues, early_stopping_and_checkpoints_at_the_end_of_epochs_wait_for_a_new_value) {
  Scored model({});
  Trainer trainer(
      cpu({.max_epochs = 6, .check_val_every_n_epoch = 2, .default_root_dir = folder_.string()}));
  const auto& stopping = trainer.add<EarlyStopping>(
      {.monitor = "score", .patience = 3, .mode = "max", .check_on_train_epoch_end = true});
  const auto& checkpoints = trainer.add<ModelCheckpoint>(
      {.monitor = "score", .save_top_k = -1, .mode = "max", .save_on_train_epoch_end = true});
  trainer.fit(model, data_);
  EXPECT_EQ(stopping.wait_count(), 0);
  Values scores;
  for (const auto& saved : checkpoints.best_k_models()) scores.push_back(saved.score);
  EXPECT_EQ(scores, (Values{0.0, 1.0, 2.0})) << "no file has the score of other weights";
}

TEST_F(NewValues, a_checkpoint_by_steps_isnt_ranked_by_the_value_of_an_earlier_step) {
  Scored model({});
  Trainer trainer(cpu({.max_epochs = 2, .default_root_dir = folder_.string()}));
  const auto& checkpoints = trainer.add<ModelCheckpoint>(
      {.monitor = "steps", .save_top_k = -1, .every_n_train_steps = 1});
  trainer.fit(model, data_);
  Values scores;
  for (const auto& saved : checkpoints.best_k_models()) scores.push_back(saved.score);
  EXPECT_EQ(scores, (Values{0.0, 3.0}));
}

/// Writes down the weights that each validation has seen, by the number of steps.
class Weighed : public Scored {
 public:
  Weighed() : Scored({}) {}
  void on_validation_end(levin::Run& run) override {
    if (!run.progress().sanity_checking()) validated[run.global_step()] = state_dict().clone();
  }
  std::map<int64_t, StateDict> validated;
};

TEST_F(NewValues, a_checkpoint_has_the_weights_that_its_score_is_of_also_in_an_accumulation) {
  Weighed model;
  test::PointsModule data(42, {.batch_size = 6});  // steps of 2, 2, 2 and 1 batches
  Trainer trainer(cpu({.max_epochs = 1,
                       .val_check_interval = 3,
                       .accumulate_grad_batches = 2,
                       .default_root_dir = folder_.string()}));
  const auto& checkpoints =
      trainer.add<ModelCheckpoint>({.monitor = "score", .save_top_k = -1, .mode = "max"});
  trainer.fit(model, data);
  ASSERT_EQ(model.validated.size(), 2U);
  ASSERT_EQ(checkpoints.best_k_models().size(), 2U);
  for (const auto& saved : checkpoints.best_k_models()) {
    const StateDict state = load_checkpoint(saved.path);
    const int64_t steps = state.values.at("global_step").as_int();
    ASSERT_TRUE(model.validated.contains(steps)) << saved.path << " is of step " << steps;
    EXPECT_TRUE(test::same_bits(state.tensor("model.hidden.weight"),
                                model.validated.at(steps).tensor("hidden.weight")));
  }
}

TEST_F(NewValues, what_was_seen_survives_a_resume) {
  const auto fit = [&](Scored& model, int64_t epochs, const std::string& checkpoint) {
    Trainer trainer(cpu({.max_epochs = epochs,
                         .check_val_every_n_epoch = 2,
                         .default_root_dir = folder_.string()}));
    const auto& stopping = trainer.add<EarlyStopping>(
        {.monitor = "score", .mode = "max", .check_on_train_epoch_end = true});
    trainer.fit(model, data_, checkpoint);
    trainer.save_checkpoint(folder_ / "end.ckpt");
    return stopping.wait_count();
  };
  Scored first({.monitor = "score"});
  fit(first, 2, "");
  EXPECT_EQ(first.seen, Values{0.0});
  Scored second({.monitor = "score"});
  EXPECT_EQ(fit(second, 3, (folder_ / "end.ckpt").string()), 0) << "no new value in epoch 2";
  EXPECT_EQ(second.seen, Values{});
}

TEST_F(NewValues, an_epoch_of_the_history_has_no_values_of_earlier_ones) {
  Scored model({});
  Trainer trainer(cpu({.max_epochs = 4, .check_val_every_n_epoch = 2}));
  const History history = trainer.fit(model, data_);
  for (size_t epoch = 0; epoch < 4; ++epoch) {
    const bool validates = epoch % 2 == 1;
    EXPECT_EQ(history.epochs[epoch].metrics.contains("score"), validates) << epoch;
    EXPECT_EQ(history.epochs[epoch].metrics.contains("val_loss"), validates) << epoch;
    EXPECT_TRUE(history.epochs[epoch].metrics.contains("train_loss")) << epoch;
  }
  EXPECT_EQ(history.last("score"), 1.0);
}

TEST_F(NewValues, the_run_counts_the_values_of_a_metric) {
  class Counting : public Scored {
   public:
    Counting() : Scored({}) {}
    void on_train_epoch_end(levin::Run& run) override {
      for (const char* name : {"score", "steps", "nothing"}) {
        counts[name].push_back(run.updates_of(name));
        EXPECT_EQ(run.updates_of(name), counts[name].back()) << "asking counts nothing";
      }
    }
    std::map<std::string, std::vector<int64_t>> counts;
  } model;
  Trainer trainer(cpu({.max_epochs = 3, .check_val_every_n_epoch = 2}));
  trainer.fit(model, data_);
  EXPECT_EQ(model.counts["score"], (std::vector<int64_t>{0, 1, 1}));
  EXPECT_EQ(model.counts["steps"], (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(model.counts["nothing"], (std::vector<int64_t>{0, 0, 0}));
}

}  // namespace levin::new_values_test
