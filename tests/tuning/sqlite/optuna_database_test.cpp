#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <string>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/tuning/sqlite/optuna_database.h>
#include <levin/tuning/study/study_file.h>

#include "framework/python.h"
#include "framework/temporary_folder.h"

namespace levin::optuna_database_test {

const double kNaN = std::numeric_limits<double>::quiet_NaN();
const double kInfinity = std::numeric_limits<double>::infinity();

/// A study with trials of every state and kind of value.
Study some_study() {
  Study study;
  study.name = "digits \u00e9";
  study.directions = {StudyDirection::minimize, StudyDirection::maximize};
  study.user_attributes["owner"] = Value::Object{{"list", Value::Array{1, 2.5, Value()}}};
  study.system_attributes["study:metric_names"] = Value::Array{"val_loss", "val_acc"};
  const auto add = [&](TrialState state, std::vector<double> values) -> Trial& {
    Trial trial;
    trial.number = static_cast<int64_t>(study.trials.size());
    trial.state = state;
    trial.values = std::move(values);
    trial.started = 1'700'000'000'000'000 + trial.number;
    if (is_finished(state)) trial.completed = 1'700'000'001'234'567;
    study.trials.push_back(std::move(trial));
    return study.trials.back();
  };
  Trial& first = add(TrialState::complete, {0.25, -kInfinity});
  first.parameters = {{"kind", 1.0}, {"rate", 0.01}, {"width", 32.0}};
  first.distributions.emplace("kind", CategoricalDistribution{{"a", Value(), true}});
  first.distributions.emplace("rate", FloatDistribution{1e-4, 1.0, true});
  first.distributions.emplace("width", IntDistribution{16, 64, false, 16});
  first.intermediate_values = {{0, 0.5}, {1, kNaN}, {7, kInfinity}};
  first.user_attributes["note"] = "first";
  add(TrialState::pruned, {}).system_attributes["completed_rung_0"] = 0.5;
  add(TrialState::fail, {}).user_attributes["error"] = "out of memory";
  add(TrialState::running, {});
  add(TrialState::waiting, {}).started.reset();
  return study;
}

void expect_same(const Study& study, const Study& other) {
  EXPECT_EQ(study.name, other.name);
  EXPECT_EQ(study.directions, other.directions);
  EXPECT_EQ(Value(study.user_attributes), Value(other.user_attributes));
  EXPECT_EQ(Value(study.system_attributes), Value(other.system_attributes));
  ASSERT_EQ(study.trials.size(), other.trials.size());
  for (size_t i = 0; i < study.trials.size(); ++i) {
    const Trial& a = study.trials[i];
    const Trial& b = other.trials[i];
    const auto copied = a.state == TrialState::running ? TrialState::waiting : a.state;
    EXPECT_EQ(copied, b.state) << i;
    EXPECT_EQ(a.values, b.values) << i;
    EXPECT_EQ(a.parameters, b.parameters) << i;
    EXPECT_EQ(a.distributions, b.distributions) << i;
    EXPECT_EQ(a.started, b.started) << i;
    EXPECT_EQ(a.completed, b.completed) << i;
    EXPECT_EQ(Value(a.user_attributes), Value(b.user_attributes)) << i;
    EXPECT_EQ(Value(a.system_attributes), Value(b.system_attributes)) << i;
    ASSERT_EQ(a.intermediate_values.size(), b.intermediate_values.size()) << i;
    for (const auto& [step, value] : a.intermediate_values) {
      const double read = b.intermediate_values.at(step);
      EXPECT_TRUE(read == value || (read != read && value != value)) << read;
    }
  }
}

TEST(OptunaDatabase, keeps_everything_of_a_study) {
  const test::TemporaryFolder folder;
  const Study study = some_study();
  Study empty;
  empty.name = "empty";
  empty.directions = {StudyDirection::maximize};
  write_optuna_database({&study, &empty}, folder / "study.db");
  const auto read = read_optuna_database(folder / "study.db");
  ASSERT_EQ(read.size(), 2U);
  expect_same(study, read[0]);
  expect_same(empty, read[1]);
  // From there to a journal and back again.
  StudyFile file(folder / "study.log");
  for (const Study& each : read) file.add_study(each);
  file.refresh();
  expect_same(study, *file.contents().study("digits \u00e9"));
  expect_same(study, *StudyFile(folder / "study.log").contents().study("digits \u00e9"));
}

TEST(OptunaDatabase, is_opened_and_continued_by_optuna_and_read_back) {
  const test::TemporaryFolder folder;
  Study study = some_study();
  study.directions = {StudyDirection::minimize};
  for (Trial& trial : study.trials) {
    if (!trial.values.empty()) trial.values.resize(1);
    trial.parameters.clear();  // those of the script's function follow
    trial.distributions.clear();
  }
  write_optuna_database({&study}, folder / "study.db");
  const auto result = test::run_python(
      "tuning_study.py",
      {"continue", "sqlite:///" + (folder / "study.db").string(), "digits \u00e9", "4"});
  if (result.status == 77) GTEST_SKIP() << "needs a Python with optuna";
  ASSERT_EQ(result.status, 0) << result.output;
  const Value seen = Value::from_json(result.output);
  const auto& rows = seen.at("trials").as_array();
  ASSERT_EQ(rows.size(), 7U) << "the two that wait and two new ones";
  EXPECT_EQ(rows[0].at("values").to_json(), "[0.25]");
  EXPECT_EQ(rows[0].at("steps").to_json(), R"({"0":0.5,"1":"nan","7":"inf"})");
  EXPECT_EQ(rows[2].at("user_attrs").at("error").as_string(), "out of memory");
  const auto read = read_optuna_database(folder / "study.db");
  ASSERT_EQ(read.size(), 1U);
  ASSERT_EQ(read[0].trials.size(), rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    const Trial& trial = read[0].trials[i];
    EXPECT_EQ(static_cast<int64_t>(trial.state), rows[i].at("state").as_int());
    for (const auto& [name, value] : rows[i].at("params").as_object()) {
      EXPECT_EQ(trial.parameters.at(name), value.as_double());
    }
  }
  EXPECT_EQ(read[0].trials[6].parameters.size(), 3U);
  EXPECT_TRUE(read[0].trials[6].completed);
}

TEST(OptunaDatabase, refuses_what_is_there_and_what_is_no_database) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "text.db") << "this is no database, but long enough for its header ...";
  const Study study = some_study();
  EXPECT_THROW(write_optuna_database({&study}, folder / "text.db"), CheckpointError);
  EXPECT_THROW(write_optuna_database({&study}, folder / "missing" / "a.db"), CheckpointError);
  EXPECT_THROW(read_optuna_database(folder / "text.db"), Error);
  EXPECT_THROW(read_optuna_database(folder / "none.db"), CheckpointError);
  Study twice = study;
  twice.trials.clear();
  EXPECT_THROW(write_optuna_database({&twice, &twice}, folder / "twice.db"), CheckpointError);
  EXPECT_FALSE(files::exists(folder / "twice.db"));
  EXPECT_FALSE(files::exists(folder / "twice.db.tmp"));
  StudyFile file(folder / "study.log");
  file.add_study(study);
  EXPECT_THROW(file.add_study(study), ConfigError);
}

}  // namespace levin::optuna_database_test
