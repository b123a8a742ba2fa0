// A study's file is read and written by Optuna 5 and by Levin, in turn and at the same time.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <levin/framework/core/error.h>
#include <levin/tuning/study/study_file.h>

#include "framework/python.h"
#include "framework/temporary_folder.h"

namespace levin::study_file_test {

const double kNaN = std::numeric_limits<double>::quiet_NaN();
const double kInfinity = std::numeric_limits<double>::infinity();

const std::map<std::string, Distribution>& space() {
  static const std::map<std::string, Distribution> distributions = {
      {"kind", CategoricalDistribution{{"a", "b"}}},
      {"rate", FloatDistribution{1e-4, 1.0, true}},
      {"x", FloatDistribution{-10.0, 10.0}}};
  return distributions;
}

/// Runs a script of Optuna's on a study, and returns what it printed.
Value run_optuna(const std::string& verb, const std::filesystem::path& file, const char* name,
                 const std::string& count = "0") {
  const auto result = test::run_python("tuning_study.py", {verb, file.string(), name, count});
  if (result.status == 77) return {};
  EXPECT_EQ(result.status, 0) << result.output;
  return Value::from_json(result.output);
}

int64_t run_trial(StudyFile& file, int64_t study, double x) {
  const int64_t trial = file.create_trial(study);
  file.update(trial, {.parameters = {{"kind", 1.0}, {"rate", 0.01}, {"x", x}},
                      .distributions = space(),
                      .intermediate_values = {{0, x}}});
  file.finish(trial, TrialState::complete, {(x - 2.0) * (x - 2.0) + 0.01});
  return trial;
}

TEST(StudyFile, writes_what_optuna_reads_and_reads_what_it_adds) {
  const test::TemporaryFolder folder;
  StudyFile file(folder / "study.log");
  const int64_t study = file.open_study("digits \u00e9", {StudyDirection::minimize});
  file.set_study_user_attribute(study, "owner", Value::Object{{"name", "\U0001f600"}});
  file.set_study_system_attribute(study, "study:metric_names", Value::Array{"val_loss"});
  run_trial(file, study, 4.0);
  const int64_t pruned = file.create_trial(study);
  file.update(pruned, {.intermediate_values = {{0, kNaN}, {3, 0.75}},
                       .user_attributes = {{"note", Value::Array{1, 2.5, Value()}}},
                       .system_attributes = {{"completed_rung_0", 0.75}}});
  EXPECT_EQ(file.finish(pruned, TrialState::pruned), TrialState::pruned);
  EXPECT_EQ(file.finish(file.create_trial(study), TrialState::complete, {kNaN}), TrialState::fail);
  file.finish(file.create_trial(study), TrialState::complete, {-kInfinity});
  file.create_trial(study);
  file.enqueue_trial(study, {{"fixed_params", Value::Object{{"x", 3.5}}}});

  const Value read = run_optuna("continue", folder / "study.log", "digits \u00e9", "3");
  if (read.is_null()) GTEST_SKIP() << "needs a Python with optuna";
  EXPECT_EQ(read.at("directions"), Value::from_json("[1]"));
  EXPECT_EQ(read.at("user_attrs").at("owner").at("name").as_string(), "\U0001f600");
  const auto& rows = read.at("trials").as_array();
  ASSERT_EQ(rows.size(), 8U) << "the waiting trial and two new ones ran";
  EXPECT_EQ(rows[0].at("params").to_json(), R"({"kind":1,"rate":0.01,"x":4.0})");
  EXPECT_EQ(rows[0].at("values").to_json(), "[4.01]");
  EXPECT_EQ(rows[1].at("values").to_json(), "[0.75]");
  EXPECT_EQ(rows[1].at("steps").to_json(), R"({"0":"nan","3":0.75})");
  EXPECT_EQ(rows[1].at("user_attrs").to_json(), R"({"note":[1,2.5,null]})");
  EXPECT_EQ(rows[2].at("state").as_int(), static_cast<int>(TrialState::fail));
  EXPECT_EQ(rows[3].at("values").to_json(), R"(["-inf"])");
  EXPECT_EQ(rows[4].at("state").as_int(), static_cast<int>(TrialState::running));
  EXPECT_EQ(rows[5].at("state").as_int(), static_cast<int>(TrialState::complete));
  EXPECT_EQ(rows[5].at("params").at("x").as_double(), 3.5) << "Optuna ran the waiting trial";

  file.refresh();
  const Study& same = *file.contents().study(study);
  ASSERT_EQ(same.trials.size(), rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(static_cast<int64_t>(same.trials[i].state), rows[i].at("state").as_int());
    for (const auto& [name, value] : rows[i].at("params").as_object()) {
      EXPECT_EQ(same.trials[i].parameters.at(name), value.as_double());
      EXPECT_EQ(same.trials[i].distributions.at(name), space().at(name));
    }
  }
  run_trial(file, study, 1.0);
  const Value again = run_optuna("read", folder / "study.log", "digits \u00e9");
  EXPECT_EQ(again.at("trials").as_array().size(), 9U);
}

TEST(StudyFile, reads_every_operation_of_optuna) {
  const test::TemporaryFolder folder;
  const Value wrote = run_optuna("write", folder / "study.log", "all");
  if (wrote.is_null()) GTEST_SKIP() << "needs a Python with optuna";
  StudyFile file(folder / "study.log");
  EXPECT_EQ(file.contents().studies().size(), 1U) << "the other one was deleted";
  const Study& study = *file.contents().study("all");
  EXPECT_EQ(study.id, 1);
  EXPECT_EQ(study.directions,
            (std::vector<StudyDirection>{StudyDirection::maximize, StudyDirection::minimize}));
  EXPECT_EQ(Value(study.user_attributes), wrote.at("user_attrs"));
  EXPECT_EQ(Value(study.system_attributes), wrote.at("system_attrs"));
  const auto& rows = wrote.at("trials").as_array();
  ASSERT_EQ(study.trials.size(), rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    SCOPED_TRACE(i);
    const Trial& trial = study.trials[i];
    EXPECT_EQ(static_cast<int64_t>(trial.state), rows[i].at("state").as_int());
    EXPECT_EQ(Value(trial.user_attributes), rows[i].at("user_attrs"));
    EXPECT_EQ(Value(trial.system_attributes), rows[i].at("system_attrs"));
    EXPECT_EQ(trial.started.has_value(), rows[i].at("started").as_bool());
    EXPECT_EQ(trial.completed.has_value(), rows[i].at("completed").as_bool());
    EXPECT_EQ(trial.parameters.size(), rows[i].at("params").as_object().size());
    for (const auto& [name, value] : rows[i].at("params").as_object()) {
      EXPECT_EQ(trial.parameters.at(name), value.as_double()) << name;
      EXPECT_EQ(trial.distributions.at(name),
                Distribution::from_json(rows[i].at("distributions").at(name).as_string()));
    }
  }
  EXPECT_EQ(study.trials[0].values, (std::vector<double>{0.5, kInfinity}));
  EXPECT_EQ(study.trials[4].values, (std::vector<double>{1.0, 2.0}));
  EXPECT_TRUE(std::isnan(study.trials[4].intermediate_values.at(7)));
  EXPECT_EQ(study.trials[4].id, 5) << "ids count the trials of all studies";
}

/// A child process that dies with the test.
pid_t start_process(const std::function<void()>& work) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  work();
  ::_exit(0);
}

int status_of(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

TEST(StudyFile, four_processes_of_both_kinds_lose_no_trial) {
  const test::TemporaryFolder folder;
  const auto path = folder / "study.log";
  StudyFile file(path);
  const int64_t study = file.open_study("shared", {StudyDirection::minimize});
  for (int i = 0; i < 6; ++i) file.enqueue_trial(study, {});
  std::vector<pid_t> children;
  for (int process = 0; process < 2; ++process) {
    children.push_back(start_process([&] {
      StudyFile own(path);
      for (int64_t waiting = 0; waiting < 6; ++waiting) {
        if (own.start_waiting(waiting)) own.finish(waiting, TrialState::complete, {1.0});
      }
      for (int i = 0; i < 12; ++i) run_trial(own, study, i);
    }));
    children.push_back(start_process([&] {
      const auto result =
          test::run_python("tuning_study.py", {"continue", path.string(), "shared", "12"});
      ::_exit(result.status);
    }));
  }
  bool has_optuna = true;
  for (const pid_t child : children) {
    const int status = WEXITSTATUS(status_of(child));
    EXPECT_TRUE(status == 0 || status == 77) << status;
    has_optuna &= status == 0;
  }
  file.refresh();
  std::set<std::string> workers;
  int64_t complete = 0;
  const Study& shared = *file.contents().study("shared");
  for (const Trial& trial : shared.trials) {
    complete += trial.state == TrialState::complete ? 1 : 0;
    workers.emplace(file.contents().worker_of(trial.id));
  }
  if (!has_optuna) {
    EXPECT_EQ(complete, 30) << "of the processes without Optuna";
    GTEST_SKIP() << "needs a Python with optuna";
  }
  // Waiting trials are among the twelve of a process of Optuna, but not among Levin's.
  EXPECT_GE(shared.trials.size(), 48U);
  EXPECT_EQ(complete, static_cast<int64_t>(shared.trials.size()));
  EXPECT_GE(workers.size(), 4U);
  const Value read = run_optuna("read", path, "shared");
  EXPECT_EQ(read.at("trials").as_array().size(), shared.trials.size());
}

/// Runs trials until it is killed, and tells the pipe the number of each that has ended.
void run_until_killed(const std::filesystem::path& path, int64_t study, int pipe) {
  StudyFile file(path);
  for (double x = 0.0;; x += 1.0) {
    const int64_t trial = run_trial(file, study, x);
    if (::write(pipe, &trial, sizeof(trial)) != sizeof(trial)) ::_exit(1);
  }
}

TEST(StudyFile, kills_at_random_moments_lose_no_finished_trial) {
  const test::TemporaryFolder folder;
  const auto path = folder / "study.log";
  StudyFile file(path);
  const int64_t study = file.open_study("killed", {StudyDirection::minimize});
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  std::minstd_rand random(7);
  std::set<int64_t> finished;
  for (int kill = 0; kill < 25; ++kill) {
    std::vector<pid_t> children;
    for (int process = 0; process < 2; ++process) {
      children.push_back(start_process([&] { run_until_killed(path, study, pipe[1]); }));
    }
    int64_t trial = 0;  // both run by the time that one of them has finished a trial
    ASSERT_EQ(::read(pipe[0], &trial, sizeof(trial)), static_cast<ssize_t>(sizeof(trial)));
    EXPECT_TRUE(finished.insert(trial).second) << trial << " was run twice";
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 5000));
    for (const pid_t child : children) ::kill(child, SIGKILL);
    for (const pid_t child : children) status_of(child);
  }
  ::close(pipe[1]);
  for (int64_t trial = 0; ::read(pipe[0], &trial, sizeof(trial)) == sizeof(trial);) {
    EXPECT_TRUE(finished.insert(trial).second) << trial << " was run twice";
  }
  ::close(pipe[0]);
  run_trial(file, study, 0.0);
  const Study& killed = *file.contents().study("killed");
  for (const int64_t trial : finished) {
    EXPECT_EQ(file.contents().trial(trial)->state, TrialState::complete) << trial;
  }
  EXPECT_GE(finished.size(), 25U);
  std::vector<int64_t> running;
  for (const Trial& trial : killed.trials) {
    if (trial.state == TrialState::running) running.push_back(trial.id);
  }
  EXPECT_EQ(file.abandoned_trials(study), running) << "all of them are the killed processes'";
  const int64_t own = file.create_trial(study);
  EXPECT_EQ(file.abandoned_trials(study), running) << "this process lives";
  for (const int64_t trial : running) file.finish(trial, TrialState::fail);
  EXPECT_EQ(file.abandoned_trials(study), std::vector<int64_t>());
  file.finish(own, TrialState::complete, {1.0});
  const StudyFile another(path);
  int owners = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    owners += entry.path().string().find(".owner-") == std::string::npos ? 0 : 1;
  }
  EXPECT_EQ(owners, 2) << "the links of the killed processes are gone";
  const size_t trials = file.contents().study("killed")->trials.size();
  const Value read = run_optuna("continue", path, "killed", "1");
  if (read.is_null()) GTEST_SKIP() << "needs a Python with optuna";
  EXPECT_EQ(read.at("trials").as_array().size(), trials + 1);
}

TEST(StudyFile, a_torn_last_line_is_not_read_and_the_next_writer_removes_it) {
  const test::TemporaryFolder folder;
  StudyFile file(folder / "study.log");
  const int64_t study = file.open_study("torn", {StudyDirection::maximize});
  run_trial(file, study, 1.0);
  const std::string whole = test::read_file(folder / "study.log");
  std::ofstream(folder / "study.log", std::ios::app) << R"({"op_code":4,"worker_id":"x","stu)";
  StudyFile second(folder / "study.log");
  EXPECT_EQ(second.contents().study(study)->trials.size(), 1U);
  run_trial(second, study, 2.0);
  const std::string now = test::read_file(folder / "study.log");
  EXPECT_EQ(now.substr(0, whole.size()), whole);
  EXPECT_EQ(now.find("\"x\",\"stu"), std::string::npos);
  file.refresh();
  EXPECT_EQ(file.contents().study(study)->trials.size(), 2U);
}

TEST(StudyFile, the_first_of_two_processes_runs_a_waiting_trial) {
  const test::TemporaryFolder folder;
  StudyFile first(folder / "study.log");
  const int64_t study = first.open_study("waiting", {StudyDirection::minimize});
  const int64_t trial = first.enqueue_trial(study, {});
  StudyFile second(folder / "study.log");
  EXPECT_TRUE(second.start_waiting(trial));
  EXPECT_FALSE(first.start_waiting(trial));
  EXPECT_EQ(first.contents().worker_of(trial), second.worker_id());
  EXPECT_EQ(second.finish(trial, TrialState::complete, {1.0}), TrialState::complete);
  EXPECT_EQ(first.finish(trial, TrialState::fail), std::nullopt) << "it has ended";
  EXPECT_FALSE(first.start_waiting(trial));
}

// Trials that are trained at once report an epoch together.
TEST(StudyFile, what_is_added_to_several_trials_is_there_and_a_refusal_names_the_trial) {
  const test::TemporaryFolder folder;
  StudyFile file(folder / "study.log");
  const int64_t study = file.open_study("s", {StudyDirection::minimize});
  const int64_t a = file.create_trial(study);
  const int64_t b = file.create_trial(study);
  const auto report = [&](int64_t step) {
    file.update(TrialUpdates{{a, {.intermediate_values = {{step, 0.5}}}},
                             {b, {.intermediate_values = {{step, 0.25}}}}});
  };
  report(0);
  StudyFile other(folder / "study.log");
  EXPECT_EQ(other.contents().trial(a)->intermediate_values.at(0), 0.5);
  EXPECT_EQ(other.contents().trial(b)->intermediate_values.at(0), 0.25);
  file.finish(b, TrialState::complete, {0.25});
  try {
    report(1);
    FAIL() << "a trial that has ended got a value";
  } catch (const ConfigError& error) {
    EXPECT_EQ(std::string(error.what()).find("trial " + std::to_string(b)), 0U) << error.what();
  }
}

TEST(StudyFile, refuses_what_doesnt_fit_the_study) {
  const test::TemporaryFolder folder;
  StudyFile file(folder / "study.log");
  const int64_t study = file.open_study("s", {StudyDirection::minimize});
  EXPECT_EQ(file.open_study("s", {StudyDirection::minimize}), study);
  EXPECT_THROW(file.open_study("s", {StudyDirection::maximize}), ConfigError);
  const int64_t done = run_trial(file, study, 1.0);
  EXPECT_THROW(file.update(done, {.user_attributes = {{"a", 1}}}), ConfigError);
  const int64_t trial = file.create_trial(study);
  EXPECT_THROW(file.update(trial, {.parameters = {{"x", 1.0}}}), ConfigError);
  EXPECT_THROW(file.update(trial, {.parameters = {{"x", 1.0}},
                                   .distributions = {{"x", IntDistribution{0, 3}}}}),
               ConfigError);
  EXPECT_THROW(file.finish(trial, TrialState::complete, {1.0, 2.0}), ConfigError);
  EXPECT_THROW(file.finish(trial, TrialState::running), ConfigError);
  EXPECT_THROW(file.finish(99, TrialState::fail), ConfigError);
  file.delete_study(study);
  EXPECT_THROW(file.create_trial(study), ConfigError);
  EXPECT_EQ(file.contents().study("s"), nullptr);
  EXPECT_EQ(file.open_study("s", {StudyDirection::maximize}), study + 1);
}

TEST(StudyFile, names_the_line_that_is_no_journal) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "a.log")
      << "{\"op_code\":1,\"worker_id\":\"w\",\"study_id\":5}\nlearning: 1\n";
  try {
    StudyFile file(folder / "a.log");
    FAIL() << "no error";
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("line 2"), std::string::npos) << error.what();
  }
  std::ofstream(folder / "b.log") << "{\"op_code\":77,\"worker_id\":\"w\"}\n";
  EXPECT_THROW(StudyFile(folder / "b.log"), DataError);
  std::ofstream(folder / "c.log") << "{\"op_code\":4}\n[]\n";
  EXPECT_THROW(StudyFile(folder / "c.log"), DataError);
  EXPECT_THROW(StudyFile(folder / "missing" / "c.log"), CheckpointError);
}

TEST(StudyFile, times_are_utc_to_the_microsecond) {
  EXPECT_EQ(to_iso_time(1'788'264'000'000'123), "2026-09-01T12:00:00.000123+00:00");
  EXPECT_EQ(from_iso_time("2026-09-01T12:00:00.000123+00:00"), 1'788'264'000'000'123);
  EXPECT_EQ(from_iso_time("2026-09-01 14:30:00+02:30"), 1'788'264'000'000'000);
  EXPECT_EQ(from_iso_time("2026-09-01T12:00:00.5Z"), 1'788'264'000'500'000);
  EXPECT_EQ(to_iso_time(-1), "1969-12-31T23:59:59.999999+00:00");
  for (const char* bad : {"", "2026-13-01T00:00:00", "2026-09-01", "2026-09-01T12:00:00+", "now"}) {
    EXPECT_THROW(from_iso_time(bad), DataError) << bad;
  }
}

}  // namespace levin::study_file_test
