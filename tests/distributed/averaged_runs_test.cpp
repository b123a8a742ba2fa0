// Runs of ranks that train by themselves and average their weights
// (TrainerOptions::model_averaging).
#include <cstdlib>
#include <string>
#include <vector>

#include <torch/torch.h>

#include <levin/callbacks/early_stopping.h>
#include <levin/callbacks/ema_weight_averaging.h>
#include <levin/datamodules/digits.h>
#include <levin/framework/averaging/model_averaging.h>
#include <levin/framework/trainer/trainer.h>
#include <levin/models/logistic_regression.h>

#include "distributed/rank_outcome.h"
#include "distributed/run_ranks.h"
#include "framework/message_of.h"

namespace levin::test::averaged_runs_test {

using AveragedRuns = RanksTest;

Value rule(const std::string& name, Value::Object settings = {}) {
  Value value = std::move(settings);
  value["name"] = name;
  return value;
}

/// Each rule, with settings by which no meeting falls on step 10 of `common`.
std::vector<Value> rules() {
  std::vector<Value> all;
  for (const auto& name : shipped_model_averagings().names()) {
    all.push_back(rule(name, {{"period", 4}}));
    if (name == "post_local_sgd") all.back() = rule(name, {{"start", 5}, {"period", 3}});
  }
  return all;
}

/// A global batch of 16 of 103 rows; the last one of an epoch has 7. Adam, and batch norms.
Value common(const Value& averaging) {
  Value value;
  value["global_batch_size"] = 16;
  value["torch_norm"] = true;
  value["trainer"]["max_epochs"] = 3;
  value["trainer"]["model_averaging"] = averaging;
  return value;
}

// Each rank goes on with its own weights and its own optimizer's state.
TEST_F(AveragedRuns, resume_with_the_same_bits_between_two_meetings) {
  for (const auto& each : rules()) {
    const auto& name = each.at("name").as_string();
    SCOPED_TRACE(name);
    auto settings = common(each);
    const auto whole = run_on(2, name + "-whole", settings);
    EXPECT_EQ(difference(whole.rank(1).child("model"), whole.rank(0).child("model")), 0.0);
    EXPECT_EQ(whole.values().at("global_step").as_int(), 21);
    auto first = settings;
    first["trainer"]["max_steps"] = 10;  // in the second epoch
    first["save"] = (folder_ / (name + ".ckpt")).string();
    const auto begun = run_on(2, name + "-first", first);
    const auto saved = load_checkpoint(first.at("save").as_string());
    EXPECT_EQ(difference(saved.child("model"), begun.rank(0).child("model")), 0.0);
    EXPECT_EQ(saved.child("strategy").values.at("steps").as_int(), 2);
    settings["ckpt_path"] = first.at("save");
    const auto rest = run_on(2, name + "-rest", settings);
    for (const int64_t rank : {0, 1}) {
      EXPECT_EQ(difference(rest.rank(rank).child("model"), whole.rank(0).child("model")), 0.0);
      EXPECT_EQ(rest.values(rank).at("fit"), whole.values(rank).at("fit"));
    }
    // Another number of ranks goes on from the mean.
    const auto three = run_on(3, name + "-three", settings);
    EXPECT_EQ(difference(three.rank(2).child("model"), three.rank(0).child("model")), 0.0);
    EXPECT_EQ(three.values().at("global_step"), whole.values().at("global_step"));
    if (name != "diloco") continue;
    settings["trainer"]["max_steps"] = 10;  // which are done
    const auto stayed = run_on(3, "stayed", settings);
    EXPECT_LE(difference(stayed.rank(2).child("model"), saved.child("model")), 1e-12);
  }
}

TEST_F(AveragedRuns, of_one_rank_resume_with_the_same_bits_too) {
  auto settings = common(rule("diloco", {{"period", 4}}));
  const auto plain = run_on(1, "plain", common(rule("none")));
  const auto whole = run_on(1, "whole", settings);
  EXPECT_GT(difference(whole.rank(0).child("model"), plain.rank(0).child("model")), 1e-3);
  auto first = settings;
  first["trainer"]["max_steps"] = 10;
  first["save"] = (folder_ / "one.ckpt").string();
  run_on(1, "first", first);
  settings["ckpt_path"] = first.at("save");
  const auto rest = run_on(1, "rest", settings);
  EXPECT_EQ(difference(rest.rank(0).child("model"), whole.rank(0).child("model")), 0.0);
}

TEST_F(AveragedRuns, are_not_changed_by_validations_and_checkpoints) {
  auto settings = common(rule("diloco", {{"period", 4}}));
  const auto whole = run_on(2, "whole", settings).rank(0);
  settings["trainer"]["val_check_interval"] = 2;
  settings["checkpoint"] = Value::Object{{"every_n_train_steps", 3}, {"save_top_k", -1}};
  const auto watched = run_on(2, "watched", settings);
  for (const int64_t rank : {0, 1}) {
    EXPECT_EQ(difference(watched.rank(rank).child("model"), whole.child("model")), 0.0);
  }
}

// Momentum is linear, so that the mean of the ranks' steps is a step by the mean gradient.
TEST_F(AveragedRuns, of_period_one_with_sgd_are_those_of_summed_gradients) {
  Value settings;
  settings["global_batch_size"] = 16;
  settings["rows"] = 96;
  settings["optimizer"] = "SGD";
  settings["trainer"]["accumulate_grad_batches"] = 2;
  const auto sums = run_on(2, "sums", settings);
  settings["trainer"]["model_averaging"] = rule("local_sgd", {{"period", 1}});
  const auto means = run_on(2, "means", settings);
  EXPECT_LE(difference(means.rank(0).child("model"), sums.rank(0).child("model")), 1e-12);
  EXPECT_EQ(difference(means.rank(1).child("model"), means.rank(0).child("model")), 0.0);
  EXPECT_NEAR(means.values().at("fit").at("val_loss").as_double(),
              sums.values().at("fit").at("val_loss").as_double(), 1e-12);
  settings["trainer"]["model_averaging"] = rule("post_local_sgd", {{"start", 1000}});
  const auto later = run_on(2, "later", settings);  // has the same bits before it starts
  EXPECT_EQ(difference(later.rank(0).child("model"), sums.rank(0).child("model")), 0.0);
}

TEST_F(AveragedRuns, end_on_all_ranks_if_one_asks_is_interrupted_or_fails) {
  auto settings = common(rule("local_sgd", {{"period", 500}, {"flags_every", 2}}));
  settings["keys"] = 4;
  settings["fail_rank"] = 1;
  settings["fail_step"] = 8;
  settings["fail"] = "ask";
  const auto asked = run_on(2, "asked", settings);
  EXPECT_EQ(asked.values(0).at("told"), asked.values(1).at("told"));
  EXPECT_EQ(asked.values(0).at("told").as_object().size(), 4U);
  EXPECT_EQ(asked.values(1).at("stop_reason").as_string(), "asked by one");
  EXPECT_EQ(asked.values(0).at("global_step").as_int(), 10);
  EXPECT_EQ(difference(asked.rank(0).child("model"), asked.rank(1).child("model")), 0.0);

  const auto end_by = [&](const char* how) {
    settings["fail"] = how;
    const Value all = this->settings(how, settings);
    return wait_all(fork_ranks(2, all, work_as_rank), all);
  };
  const auto interrupted = end_by("interrupt");
  EXPECT_EQ(interrupted.status, 130) << interrupted.err;
  EXPECT_TRUE(interrupted.values(0).at("interrupted").as_bool());
  const auto failed = end_by("throw");  // the other rank waits for nobody, but is told
  EXPECT_EQ(failed.status, 1);
  EXPECT_NE(failed.err.find("the model broke"), std::string::npos) << failed.err;

  // What the interrupted run has saved is as good as any other checkpoint.
  auto undisturbed = settings;
  for (auto* each : {&settings, &undisturbed}) (*each)["fail_rank"] = -1;
  const auto whole = run_on(2, "undisturbed", undisturbed);
  for (const auto& entry : fs::recursive_directory_iterator(folder_ / "interrupt")) {
    if (entry.path().filename() == "interrupted.ckpt") {
      settings["ckpt_path"] = entry.path().string();
    }
  }
  const auto rest = run_on(2, "rest", settings);
  EXPECT_EQ(difference(rest.rank(1).child("model"), whole.rank(1).child("model")), 0.0);
}

// Rank 1 skips every third step, and has no row in the last one of an epoch.
TEST_F(AveragedRuns, count_the_steps_in_which_a_rank_has_nothing_to_learn_from) {
  Value settings;
  settings["global_batch_size"] = 16;
  settings["rows"] = 97;
  settings["skip_rank"] = 1;
  settings["trainer"]["max_epochs"] = 2;
  settings["trainer"]["model_averaging"] = rule("local_sgd", {{"period", 3}});
  const auto two = run_on(2, "two", settings);
  for (const int64_t rank : {0, 1}) {
    EXPECT_EQ(two.values(rank).at("global_step").as_int(), 14);
    EXPECT_EQ(two.values(rank).at("fit").at("val_loss"), two.values().at("fit").at("val_loss"));
  }
  EXPECT_EQ(difference(two.rank(1).child("model"), two.rank(0).child("model")), 0.0);
}

// It averages the means of the ranks at the ends of epochs.
TEST_F(AveragedRuns, with_stochastic_weight_averaging_end_alike_on_all_ranks) {
  auto settings = common(rule("local_sgd", {{"period", 4}}));
  settings["torch_norm"] = false;
  settings["swa_lrs"] = 0.01;
  const auto averaged = run_on(2, "swa", settings);
  EXPECT_EQ(difference(averaged.rank(1).child("model"), averaged.rank(0).child("model")), 0.0);
}

TEST_F(AveragedRuns, refuse_what_steps_otherwise) {
  const std::pair<const char*, std::pair<Value, const char*>> wrong[] = {
      {"lbfgs", {Value::Object{{"optimizer", "LBFGS"}}, "the optimizer LBFGS"}},
      {"solver", {Value::Object{{"optimizer", "lbfgs"}}, "which compares the losses"}},
      {"norm", {Value::Object{{"norm", true}}, "SyncBatchNorm"}},
      {"learner",
       {Value::Object{{"learner", "OnlineSGD"}, {"learner_settings", Value::Object{}}},
        "average_every"}}};
  for (const auto& [name, what] : wrong) {
    auto settings = what.first;
    settings["trainer"]["model_averaging"] = "local_sgd";
    const Value all = this->settings(name, settings);
    const auto run = wait_all(fork_ranks(1, all), all);
    EXPECT_EQ(run.status, 2) << name;
    EXPECT_TRUE(says(run.err, {"model_averaging = local_sgd with", what.second})) << run.err;
  }
}

/// Trains a softmax regression on the digits and tests it.
int train_digits(const Value& settings) {
  try {
    Trainer trainer(begin_as_rank(settings, /*max_epochs=*/20));
    DigitsDataModule data({.batch_size = 16, .val_split = 0.0, .test_split = 0.4});
    LogisticRegression model(
        {.in_features = 64, .num_classes = 10, .learning_rate = 0.1, .optimizer = "SGD"});
    if (settings.contains("ema")) trainer.add<EMAWeightAveraging>({});
    if (settings.contains("patience")) {  // the loss doesn't rise
      trainer.add<EarlyStopping>({.monitor = "train_loss", .patience = 2, .mode = "max"});
    }
    const auto history = trainer.fit(model, data);
    StateDict result;
    result.values["epochs"] = static_cast<int64_t>(history.epochs.size());
    result.values["comm_bytes"] = history.epochs.back().metrics.at("comm_bytes");
    result.values["test_acc"] = trainer.test(model, data).at("test_acc");
    result.add("model", model.state_dict());
    leave_result(settings, result);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

// An epoch has 34 steps, so that each of them ends with a meeting.
TEST_F(AveragedRuns, come_to_the_accuracy_of_summed_gradients_with_bytes_by_period) {
  const auto run_with = [&](const Value& averaging) {
    Value settings;
    settings["trainer"]["model_averaging"] = averaging;
    return run_on(2, averaging.at("name").as_string(), settings, train_digits);
  };
  const auto sums = run_with(rule("none")).values();
  EXPECT_GT(sums.at("test_acc").as_double(), 0.93);
  const auto compare = [&](const Value& averaging, int64_t period) {
    SCOPED_TRACE(averaging.at("name").as_string());
    const auto run = run_with(averaging);
    EXPECT_GE(run.values().at("test_acc").as_double(), sums.at("test_acc").as_double() - 0.005);
    EXPECT_NEAR(run.values().at("comm_bytes").as_double() * static_cast<double>(period),
                sums.at("comm_bytes").as_double(), 0.05 * sums.at("comm_bytes").as_double());
    EXPECT_EQ(difference(run.rank(1).child("model"), run.rank(0).child("model")), 0.0);
  };
  compare(rule("local_sgd", {{"period", 17}, {"flags_every", 17}}), 17);
  compare(rule("post_local_sgd", {{"start", 34}, {"period", 2}}), 2);
  compare(rule("diloco", {{"period", 17}, {"flags_every", 17}}), 17);
}

TEST_F(AveragedRuns, stop_early_on_all_ranks_and_refuse_averages_of_own_weights) {
  Value settings;
  settings["patience"] = true;
  settings["trainer"]["model_averaging"] = rule("local_sgd", {{"period", 10}});
  const auto stopped = run_on(2, "stopped", settings, train_digits);
  EXPECT_EQ(stopped.values(0).at("epochs").as_int(), 3);
  EXPECT_EQ(stopped.values(1).at("epochs").as_int(), 3);
  EXPECT_EQ(difference(stopped.rank(1).child("model"), stopped.rank(0).child("model")), 0.0);
  settings["ema"] = true;
  const Value all = this->settings("ema", settings);
  const auto refused = wait_all(fork_ranks(2, all, train_digits), all);
  EXPECT_EQ(refused.status, 1);
  EXPECT_TRUE(says(refused.err, {"EMAWeightAveraging with model_averaging"})) << refused.err;
}

}  // namespace levin::test::averaged_runs_test
