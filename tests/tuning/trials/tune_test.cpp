// levin::tune: a search in this process, its checks before the first trial, and what it records.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include <levin/cli/session.h>
#include <levin/cli/shipped_classes.h>
#include <levin/framework/config/yaml.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/tuning/trials/run_trial.h>
#include <levin/tuning/trials/trial_queue.h>
#include <levin/tuning/trials/tune.h>

#include "framework/python.h"
#include "framework/temporary_folder.h"

namespace levin::tune_test {

class Tune : public ::testing::Test {
 protected:
  ConfigNode base(const std::string& max_epochs = "2") const {
    const std::string text =
        "seed_everything: 1\n"
        "trainer: {limit_train_batches: 4, accelerator: cpu, logger: false, "
        "default_root_dir: '" +
        folder_.string() +
        "'}\n"
        "model: {class_path: LogisticRegression, init_args: {in_features: 4, num_classes: 3}}\n"
        "data: {class_path: IrisDataModule, init_args: {batch_size: 16}}\n";
    write("base.yaml", text);
    return read_configuration({(folder_ / "base.yaml").string()},
                              {{"trainer.max_epochs", parse_argument(max_epochs), false}});
  }
  void write(const std::string& name, const std::string& text) const {
    files::write_atomically(folder_ / name, text);
  }
  SearchSpace space(const std::string& text) const {
    write("space.yaml", text);
    return read_search_space(folder_ / "space.yaml");
  }
  TuneOptions options(int64_t trials) const {
    TuneOptions options;
    options.metric = {"val_loss"};
    options.study = (folder_ / "study.log").string();
    options.trials = trials;
    options.sampler = "random";
    return options;
  }
  /// Expects a refusal before the first trial whose message has these parts, and that no study is
  /// made.
  void expect_refused(const std::string& ranges, const std::vector<std::string>& parts,
                      const std::function<void(TuneOptions&)>& change = {}) const {
    TuneOptions wanted = options(1);
    if (change) change(wanted);
    try {
      tune(shipped_classes(), base(), space(ranges), std::move(wanted));
      FAIL() << "not refused: " << ranges;
    } catch (const ConfigError& error) {
      for (const auto& part : parts) {
        EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
            << error.what() << "\n  lacks: " << part;
      }
    }
    EXPECT_FALSE(files::exists(folder_ / "study.log"));
  }
  /// The parameters, states and values of all trials.
  static Value outcome_of(const Study& study) {
    Value::Array rows;
    for (const Trial& trial : study.trials) {
      Value row;
      for (const auto& [name, value] : trial.parameters) row["parameters"][name] = value;
      row["state"] = std::string(name_of(trial.state));
      row["values"] = Value::Array(trial.values.begin(), trial.values.end());
      rows.push_back(std::move(row));
    }
    return rows;
  }
  /// The epochs, counted from 0, whose values a trial has reported.
  static std::vector<int64_t> steps_of(const Trial& trial) {
    std::vector<int64_t> steps;
    for (const auto& [step, value] : trial.intermediate_values) steps.push_back(step);
    return steps;
  }

  test::TemporaryFolder folder_;
};

constexpr const char* kRates = "model.learning_rate: {low: 0.001, high: 1.0, log: true}\n";

TEST_F(Tune, finds_the_best_trial_and_its_configuration_and_goes_on_with_the_study) {
  const Registry registry = shipped_classes();
  int64_t seen = 0;
  const auto count = [&](const Study&, const Trial&) { ++seen; };
  const TuneResult first = tune(registry, base(), space(kRates), options(2), count);
  EXPECT_EQ(seen, 2);
  const TuneResult all = tune(registry, base(), space(kRates), options(4), count);
  EXPECT_EQ(seen, 4);
  ASSERT_EQ(all.study.trials.size(), 4U);
  double lowest = 1e9;
  for (const Trial& trial : all.study.trials) {
    EXPECT_EQ(trial.state, TrialState::complete);
    EXPECT_EQ(trial.intermediate_values.size(), 2U);
    EXPECT_EQ(trial.values.at(0), trial.intermediate_values.at(1));
    EXPECT_EQ(trial.user_attributes.at("epochs"), Value(2));
    EXPECT_FALSE(checkpoint_of(trial).empty());
    lowest = std::min(lowest, trial.values.at(0));
  }
  ASSERT_TRUE(all.best);
  EXPECT_EQ(all.best->values.at(0), lowest);
  EXPECT_EQ(all.study.trials[0].parameters, first.study.trials[0].parameters);
  const Job job = read_job(registry, all.best_config);
  Value rate;
  for (const auto& field : job.model->fields) {
    if (field.name == "learning_rate") rate = field.get();
  }
  EXPECT_EQ(rate, Value(all.best->parameters.at("model.learning_rate")));
}

TEST_F(Tune, refuses_what_cannot_be_before_the_first_trial) {
  expect_refused("seed_everything: [1, 2]\nmodel.learning_rat: {low: 0.1, high: 1.0}\n",
                 {"space.yaml, line 2", "learning_rate"});
  expect_refused("data.batch_size: [4, many]\n", {"space.yaml, line 1", "many"});
  expect_refused("model.hidden_sizes: [[4], [8]]\n", {"space.yaml, line 1", "hidden_sizes"});
  expect_refused("trainer.devices: [1, 2]\n", {"space.yaml, line 1", "one device", "--workers"});
  expect_refused("trainer.max_epochs: [1, 2]\n", {"space.yaml, line 1", "asha"},
                 [](TuneOptions& o) { o.pruner = "asha"; });
  expect_refused(kRates, {"--metric", "val_los", "val_loss"},
                 [](TuneOptions& o) { o.metric = {"val_los"}; });
  expect_refused(kRates, {"no end", "--trials"}, [](TuneOptions& o) { o.trials = 0; });
  expect_refused(kRates, {"sobl", "sobol"}, [](TuneOptions& o) { o.sampler = "sobl"; });
  expect_refused(kRates, {"pruner", "one --metric"}, [](TuneOptions& o) {
    o.metric = {"val_loss", "val_acc"};
    o.pruner = "asha";
  });
  for (const char* empty : {"{low: 1.0, high: 0.1}", "[]", "{low: 0.1}"}) {
    try {
      space(std::string("trainer.max_epochs: [1, 2]\nmodel.learning_rate: ") + empty + "\n");
      FAIL() << "not refused: " << empty;
    } catch (const ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find("space.yaml, line 2"), std::string::npos)
          << error.what();
    }
  }
}

TEST_F(Tune, records_a_trial_that_fails_and_goes_on) {
  TuneOptions wanted = options(0);
  wanted.sampler = "grid";
  const TuneResult result =
      tune(shipped_classes(), base(), space("model.num_classes: [3, 2, 4]\n"), wanted);
  ASSERT_EQ(result.study.trials.size(), 3U);
  const Trial& failed = result.study.trials[1];
  EXPECT_EQ(failed.state, TrialState::fail) << "there are three classes";
  EXPECT_NE(failed.user_attributes.at("error").as_string().find("num_classes"), std::string::npos)
      << failed.user_attributes.at("error").as_string();
  EXPECT_EQ(result.study.trials[0].state, TrialState::complete);
  EXPECT_EQ(result.study.trials[2].state, TrialState::complete);
}

TEST_F(Tune, a_warning_that_all_trials_have_is_printed_once) {
  base();
  const ConfigNode with_logger = read_configuration(
      {(folder_ / "base.yaml").string()}, {{"trainer.max_epochs", parse_argument("1"), false},
                                           {"trainer.logger", parse_argument("true"), false}});
  ::testing::internal::CaptureStderr();
  tune(shipped_classes(), with_logger, space("data.batch_size: {low: 15, high: 40}\n"), options(3));
  const std::string printed = ::testing::internal::GetCapturedStderr();
  const size_t first = printed.find("warning: an epoch has");  // fewer steps than log_every_n_steps
  ASSERT_NE(first, std::string::npos) << printed;
  EXPECT_EQ(printed.find("warning: an epoch has", first + 1), std::string::npos) << printed;
  EXPECT_EQ(printed.find("Epoch 0"), std::string::npos) << "a progress bar";
}

TEST_F(Tune, a_pruner_ends_bad_trials_early) {
  TuneOptions wanted = options(0);
  wanted.sampler = "grid";
  wanted.pruner = "halving";
  const TuneResult result =
      tune(shipped_classes(), base(),
           space("model.learning_rate: [0.3, 0.0000001]\ntrainer.max_epochs: [5]\n"), wanted);
  ASSERT_EQ(result.study.trials.size(), 2U);
  EXPECT_EQ(result.study.trials[1].state, TrialState::pruned);
  EXPECT_LT(result.study.trials[1].intermediate_values.size(), 5U);
}

TEST_F(Tune, asha_pauses_trials_and_goes_on_with_the_best_from_their_checkpoints) {
  TuneOptions wanted = options(0);
  wanted.sampler = "grid";
  wanted.pruner = "asha";
  wanted.reduction_factor = 2;
  const TuneResult result =
      tune(shipped_classes(), base("4"),
           space("model.learning_rate: [0.0000001, 0.05, 0.0000002, 0.02]\n"), wanted);
  const auto& trials = result.study.trials;
  ASSERT_EQ(trials.size(), 4U);
  std::vector<double> first_values;
  for (const Trial& trial : trials) first_values.push_back(trial.intermediate_values.at(0));
  std::sort(first_values.begin(), first_values.end());
  int64_t complete = 0;
  for (const Trial& trial : trials) {  // rungs are at 1, 2 and 4 epochs
    const auto steps = steps_of(trial);
    std::vector<int64_t> counted(steps.size());
    std::iota(counted.begin(), counted.end(), 0);
    EXPECT_EQ(steps, counted);
    EXPECT_TRUE(steps.size() == 1 || steps.size() == 2 || steps.size() == 4);
    EXPECT_EQ(trial.user_attributes.at("epochs"), Value(static_cast<int64_t>(steps.size())))
        << "no epoch was trained twice";
    const bool is_good = trial.intermediate_values.at(0) <= first_values[1];
    EXPECT_TRUE(!is_good || steps.size() >= 2);
    EXPECT_EQ(trial.state, steps.size() == 4 ? TrialState::complete : TrialState::pruned);
    EXPECT_EQ(trial.values.at(0), trial.intermediate_values.rbegin()->second);
    complete += steps.size() == 4 ? 1 : 0;
  }
  EXPECT_TRUE(complete == 1 || complete == 2) << complete;
  ASSERT_TRUE(result.best);
  // The pauses change nothing: the same fit without them has the same value.
  Session session(read_job(shipped_classes(), result.best_config), shipped_classes());
  session.fit();
  EXPECT_EQ(session.trainer().run().metrics().at("val_loss"), result.best->values.at(0));
}

TEST_F(Tune, asha_has_a_winner_also_of_few_trials) {
  TuneOptions wanted = options(2);
  wanted.pruner = "asha";
  const TuneResult result = tune(shipped_classes(), base("20"), space(kRates), wanted);
  ASSERT_TRUE(result.best)
      << "rungs are at 1, 4, 16 and 20 epochs, and a fourth of the trials goes on";
  const Trial& other = result.study.trials.at(result.best->number == 0 ? 1 : 0);
  EXPECT_EQ(steps_of(*result.best).size(), 20U);
  EXPECT_EQ(steps_of(other), (std::vector<int64_t>{0}));
  EXPECT_LT(result.best->intermediate_values.at(0), other.values.at(0));
}

TEST_F(Tune, a_population_takes_over_weights_and_ends_with_complete_trials) {
  TuneOptions wanted = options(0);
  wanted.sampler = "population";
  wanted.population = 4;
  const TuneResult result = tune(shipped_classes(), base("3"), space(kRates), wanted);
  const auto& trials = result.study.trials;
  ASSERT_EQ(trials.size(), 12U);
  bool was_taken_over = false;
  for (const Trial& trial : trials) {
    const int64_t stage = trial.number / 4;
    EXPECT_EQ(steps_of(trial), (std::vector<int64_t>{stage})) << trial.number;
    EXPECT_EQ(trial.state, stage == 2 ? TrialState::complete : TrialState::pruned);
    const auto from = trial.system_attributes.find("levin:goes_on_from");
    was_taken_over = was_taken_over || (stage > 0 && from->second != Value(trial.number - 4));
  }
  EXPECT_TRUE(was_taken_over);
  const TuneResult again = tune(shipped_classes(), base("3"), space(kRates), [&] {
    TuneOptions other = wanted;
    other.name = "again";
    return other;
  }());
  EXPECT_EQ(outcome_of(again.study), outcome_of(result.study)) << "the same seed, the same study";
}

TEST_F(Tune, halving_searches_as_scikit_learn_does) {
  TuneOptions wanted = options(0);
  wanted.sampler = "halving";
  wanted.candidates = 9;
  const TuneResult result = tune(shipped_classes(), base("9"), space(kRates), wanted);
  ASSERT_EQ(result.study.trials.size(), 13U);
  for (const Trial& trial : result.study.trials) {
    const std::vector<int64_t> first = {0};
    const std::vector<int64_t> second = {1, 2};
    const std::vector<int64_t> last = {3, 4, 5, 6, 7, 8};
    EXPECT_EQ(steps_of(trial), trial.number < 9 ? first : trial.number < 12 ? second : last);
  }
  ASSERT_TRUE(result.best);
  EXPECT_EQ(result.best->number, 12) << "the best one is of the last stage";
}

TEST_F(Tune, the_value_of_a_trial_is_its_last_or_its_best_one) {
  TuneOptions wanted = options(0);
  wanted.sampler = "grid";
  wanted.value = "best";
  // At this rate, the loss jumps up and down.
  const TuneResult result =
      tune(shipped_classes(), base("6"), space("model.learning_rate: [50.0, 60.0]\n"), wanted);
  bool differs = false;
  for (const Trial& trial : result.study.trials) {
    double best = trial.intermediate_values.begin()->second;
    for (const auto& [step, value] : trial.intermediate_values) best = std::min(best, value);
    EXPECT_EQ(trial.values.at(0), best);
    differs = differs || best != trial.intermediate_values.rbegin()->second;
  }
  EXPECT_TRUE(differs);
}

TEST_F(Tune, a_budget_of_epochs_ends_the_search_and_a_larger_one_goes_on_with_it) {
  TuneOptions wanted = options(0);
  wanted.epochs = 5;
  const TuneResult result = tune(shipped_classes(), base(), space(kRates), wanted);
  EXPECT_EQ(result.study.trials.size(), 3U) << "2 epochs each; the third one begins at 4";
  wanted.epochs = 8;
  EXPECT_EQ(tune(shipped_classes(), base(), space(kRates), wanted).study.trials.size(), 4U);
}

TEST_F(Tune, several_metrics_have_a_pareto_front) {
  TuneOptions wanted = options(3);
  wanted.metric = {"val_loss", "val_acc"};
  const TuneResult result = tune(shipped_classes(), base(), space(kRates), wanted);
  EXPECT_EQ(result.study.directions,
            (std::vector<StudyDirection>{StudyDirection::minimize, StudyDirection::maximize}));
  for (const Trial& trial : result.study.trials) EXPECT_EQ(trial.values.size(), 2U);
  EXPECT_TRUE(result.best);
}

TEST_F(Tune, a_trial_that_needs_too_much_memory_fails_and_the_next_one_runs) {
  write("mlp.yaml",
        "trainer: {max_epochs: 1, accelerator: cpu, logger: false, enable_checkpointing: false, "
        "default_root_dir: '" +
            folder_.string() +
            "'}\nmodel: {class_path: MLP, init_args: {in_features: 4, num_classes: 3}}\n"
            "data: {class_path: IrisDataModule}\n");
  TuneOptions wanted = options(0);
  wanted.sampler = "grid";
  const TuneResult result =
      tune(shipped_classes(), read_configuration({(folder_ / "mlp.yaml").string()}, {}),
           space("model.hidden_sizes: [[8], [400000000000], [16]]\n"), wanted);
  ASSERT_EQ(result.study.trials.size(), 3U);
  EXPECT_EQ(result.study.trials[1].state, TrialState::fail);
  EXPECT_NE(result.study.trials[1].user_attributes.at("error").as_string().find("memory"),
            std::string::npos)
      << result.study.trials[1].user_attributes.at("error").as_string();
  EXPECT_EQ(result.study.trials[0].state, TrialState::complete);
  EXPECT_EQ(result.study.trials[2].state, TrialState::complete);
}

TEST_F(Tune, a_trial_that_two_searches_queue_again_at_once_is_run_by_one) {
  TuneOptions wanted = options(3);
  const SearchPlan plan = plan_search(base(), space(kRates), wanted);
  StudyFile file(wanted.study);
  const int64_t study = file.open_study(wanted.name, plan.directions);
  const int64_t failed = file.create_trial(study);
  fail_trial(file, failed, "its process died");
  const Value::Object again = {{kFailedTrialAttribute, 0}};
  const int64_t first = file.enqueue_trial(study, again);
  const int64_t second = StudyFile(wanted.study).enqueue_trial(study, again);
  EXPECT_EQ(start_waiting_trial(plan, file, study), first);
  EXPECT_EQ(start_waiting_trial(plan, file, study), std::nullopt);
  EXPECT_EQ(file.contents().trial(second)->state, TrialState::fail);
  EXPECT_EQ(own_trials(*file.contents().study(study)), 1) << "it counts as one";
}

TEST_F(Tune, optuna_continues_a_search_and_is_continued) {
  TuneOptions wanted = options(2);
  wanted.sampler = "tpe";
  tune(shipped_classes(), base(), space(kRates), wanted);
  const auto result = test::run_python(
      "tuning_study.py", {"continue", wanted.study, wanted.name, "1", "model.learning_rate=0.5"});
  if (result.status == 77) GTEST_SKIP() << "needs a Python with optuna";
  ASSERT_EQ(result.status, 0) << result.output;
  const Value seen = Value::from_json(result.output);
  EXPECT_EQ(seen.at("system_attrs").at("study:metric_names"), Value(Value::Array{"val_loss"}));
  EXPECT_EQ(seen.at("trials").as_array().size(), 4U) << "one has run there, and one was enqueued";
  wanted.trials = 5;
  const TuneResult all = tune(shipped_classes(), base(), space(kRates), wanted);
  ASSERT_EQ(all.study.trials.size(), 5U);
  EXPECT_EQ(all.study.trials[3].state, TrialState::complete);
  EXPECT_EQ(all.study.trials[3].parameters.at("model.learning_rate"), 0.5)
      << "Levin ran the trial that Optuna had enqueued";
  EXPECT_EQ(all.study.trials[4].state, TrialState::complete);
}

}  // namespace levin::tune_test
