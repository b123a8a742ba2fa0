// Trials of a search that are trained at once.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include <levin/cli/session.h>
#include <levin/cli/shipped_classes.h>
#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/config/load_module.h>
#include <levin/framework/config/yaml.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/tuning/trials/run_trial.h>
#include <levin/tuning/trials/tune.h>

#include "framework/message_of.h"
#include "framework/temporary_folder.h"

namespace levin::tune_batch_test {

constexpr const char* kRates =
    "model.learning_rate: {low: 0.001, high: 1.0, log: true}\n"
    "model.l2_strength: [0.0, 0.01]\n";

class TuneBatch : public ::testing::Test {
 protected:
  SearchSpace space(const std::string& text) const {
    files::write_atomically(folder_ / "space.yaml", text);
    return read_search_space(folder_ / "space.yaml");
  }

  TuneResult search(const std::string& name, int64_t batch,
                    const std::function<void(TuneOptions&)>& change = {},
                    const std::string& ranges = kRates) const {
    const std::string text =
        "seed_everything: 1\n"
        "trainer: {max_epochs: 4, accelerator: cpu, logger: false, default_root_dir: '" +
        (folder_ / name).string() +
        "'}\n"
        "model: {class_path: LogisticRegression}\n"
        "data: {class_path: IrisDataModule, init_args: {batch_size: 16}}\n";
    files::write_atomically(folder_ / "base.yaml", text);
    TuneOptions options;
    options.metric = {"val_loss"};
    options.study = (folder_ / (name + ".log")).string();
    options.sampler = "random";
    options.trials = 5;
    options.batch = batch;
    if (change) change(options);
    return tune(shipped_classes(), read_configuration({(folder_ / "base.yaml").string()}, {}),
                space(ranges), std::move(options));
  }

  test::TemporaryFolder folder_;
};

bool was_batched(const Trial& trial) {
  const auto found = trial.system_attributes.find("levin:batched");
  return found != trial.system_attributes.end() && found->second == Value(true);
}

/// The names of a trial's checkpoints.
std::set<std::string> checkpoints_of(const Trial& trial) {
  std::set<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(checkpoint_of(trial).parent_path())) {
    names.insert(file.path().filename().string());
  }
  return names;
}

void expect_near(double a, double b) { EXPECT_NEAR(a, b, 1e-5 * std::abs(b)); }

// row 54
TEST_F(TuneBatch, trials_at_once_have_the_parameters_and_values_that_they_have_one_by_one) {
  const Study alone = search("alone", 1).study;
  const Study batch = search("batch", 3).study;  // three trials, and then two
  ASSERT_EQ(batch.trials.size(), alone.trials.size());
  for (size_t i = 0; i < alone.trials.size(); ++i) {
    SCOPED_TRACE(i);
    const Trial& one = batch.trials[i];
    EXPECT_TRUE(was_batched(one));
    EXPECT_FALSE(was_batched(alone.trials[i]));
    EXPECT_EQ(one.parameters, alone.trials[i].parameters);
    EXPECT_EQ(one.state, TrialState::complete);
    EXPECT_EQ(one.user_attributes.at("epochs"), alone.trials[i].user_attributes.at("epochs"));
    expect_near(one.values.at(0), alone.trials[i].values.at(0));
    ASSERT_EQ(one.intermediate_values.size(), 4U);
    for (const auto& [step, value] : alone.trials[i].intermediate_values) {
      expect_near(one.intermediate_values.at(step), value);
    }
    EXPECT_EQ(checkpoints_of(one), checkpoints_of(alone.trials[i]));
    const auto model = load_module(shipped_classes(), checkpoint_of(one));
    const auto same = load_module(shipped_classes(), checkpoint_of(alone.trials[i]));
    for (const auto& [name, weight] : same->state_dict().tensors) {
      EXPECT_TRUE(model->state_dict().tensor(name).allclose(weight, 1e-4, 1e-6)) << name;
    }
  }
}

TEST_F(TuneBatch, trials_of_several_seeds_have_the_values_that_they_have_one_by_one) {
  const auto grid = [](TuneOptions& options) {
    options.sampler = "grid";
    options.trials = 0;
  };
  const std::string ranges = "seed_everything: [1, 2]\nmodel.learning_rate: [0.1, 0.01]\n";
  const Study alone = search("seeds_alone", 1, grid, ranges).study;
  const Study batch = search("seeds", 4, grid, ranges).study;
  ASSERT_EQ(batch.trials.size(), 4U);
  for (size_t i = 0; i < batch.trials.size(); ++i) {
    EXPECT_TRUE(was_batched(batch.trials[i]));
    EXPECT_EQ(batch.trials[i].parameters, alone.trials[i].parameters);
    expect_near(batch.trials[i].values.at(0), alone.trials[i].values.at(0));
  }
}

// Each seed has one trial, so that they can only be trained together.
TEST_F(TuneBatch, trials_that_differ_in_their_seeds_alone_are_one_batch) {
  const auto grid = [](TuneOptions& options) {
    options.sampler = "grid";
    options.trials = 0;
  };
  const std::string ranges = "seed_everything: [4, 9, 2]\n";
  const Study alone = search("one_by_one", 1, grid, ranges).study;
  const Study batch = search("at_once", 3, grid, ranges).study;
  ASSERT_EQ(batch.trials.size(), 3U);
  std::set<double> values;
  for (size_t i = 0; i < batch.trials.size(); ++i) {
    SCOPED_TRACE(i);
    const Trial& one = batch.trials[i];
    EXPECT_TRUE(was_batched(one));
    EXPECT_EQ(one.parameters, alone.trials[i].parameters);
    ASSERT_EQ(one.intermediate_values.size(), 4U);
    for (const auto& [step, value] : alone.trials[i].intermediate_values) {
      expect_near(one.intermediate_values.at(step), value);
    }
    values.insert(one.values.at(0));
    const auto state = load_checkpoint(checkpoint_of(one));
    const auto same = load_checkpoint(checkpoint_of(alone.trials[i]));
    EXPECT_EQ(state.values.at("hyper_parameters").at("seed"),
              same.values.at("hyper_parameters").at("seed"));
  }
  EXPECT_EQ(values.size(), 3U);
}

TEST_F(TuneBatch, a_pruner_ends_some_trials_and_the_others_go_on) {
  const auto with_pruner = [](TuneOptions& options) {
    options.pruner = "halving";
    options.reduction_factor = 2;
    options.trials = 8;
  };
  const Study study = search("pruned", 8, with_pruner).study;
  int64_t pruned = 0;
  for (const Trial& trial : study.trials) {
    EXPECT_TRUE(was_batched(trial));
    if (trial.state == TrialState::pruned) {
      ++pruned;
      EXPECT_LT(trial.intermediate_values.size(), 4U);
    } else {
      EXPECT_EQ(trial.state, TrialState::complete);
      EXPECT_EQ(trial.intermediate_values.size(), 4U);
    }
  }
  EXPECT_GT(pruned, 0);
  EXPECT_LT(pruned, 8);
}

TEST_F(TuneBatch, trials_that_cannot_be_trained_at_once_are_trained_one_by_one) {
  const auto decays = [](TuneOptions& options) { options.trials = 2; };
  const std::string ranges = "optimizer.class_path: [SGD]\n";
  const std::string message =
      test::message_of<ConfigError>([&] { search("classes", 2, decays, ranges); });
  EXPECT_TRUE(test::says(message, {"line 1", "optimizer.class_path", "trained at once"}));
  // The models of this study have other settings than those that can be stacked.
  const std::string text =
      "trainer: {max_epochs: 1, accelerator: cpu, logger: false, default_root_dir: '" +
      (folder_ / "nets").string() +
      "'}\n"
      "model: {class_path: MLP, init_args: {dropout: 0.5}}\n"
      "data: {class_path: IrisDataModule, init_args: {batch_size: 16}}\n";
  files::write_atomically(folder_ / "nets.yaml", text);
  TuneOptions options;
  options.metric = {"val_loss"};
  options.study = (folder_ / "nets.log").string();
  options.trials = 2;
  options.batch = 2;
  const auto result =
      tune(shipped_classes(), read_configuration({(folder_ / "nets.yaml").string()}, {}),
           space("model.learning_rate: {low: 0.001, high: 1.0, log: true}\n"), options);
  ASSERT_EQ(result.study.trials.size(), 2U);
  for (const Trial& trial : result.study.trials) {
    EXPECT_EQ(trial.state, TrialState::complete);
    EXPECT_FALSE(was_batched(trial));
  }
}

TEST_F(TuneBatch, refuses_what_goes_on_from_checkpoints) {
  const auto refusal = [&](const std::function<void(TuneOptions&)>& change) {
    return test::message_of<ConfigError>([&] { search("refused", 4, change); });
  };
  EXPECT_TRUE(test::says(refusal([](TuneOptions& o) { o.pruner = "asha"; }), {"--batch", "asha"}));
  EXPECT_TRUE(test::says(refusal([](TuneOptions& o) { o.workers = 2; }), {"2 workers"}));
  EXPECT_TRUE(
      test::says(refusal([](TuneOptions& o) { o.sampler = "population"; }), {"population"}));
  EXPECT_FALSE(files::exists(folder_ / "refused.log"));
}

}  // namespace levin::tune_batch_test
