// The built `levin tune`: worker processes, and what is left of a search that is killed.
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <levin/framework/core/files.h>
#include <levin/tuning/commands/sweep_command.h>
#include <levin/tuning/report/study_report.h>
#include <levin/tuning/study/study_file.h>
#include <levin/tuning/trials/search_plan.h>

#include "tuning/commands/tune_command.h"

namespace levin::tune_command_test {

class TuneCommand : public test::TuneCommandTest {};

TEST_F(TuneCommand, writes_a_best_configuration_that_runs_and_shows_the_study) {
  const auto outcome = run(words({"--trainer.max_epochs=1", "--output", "best.yaml", "--json",
                                  "--html", "report.html", "--plots", "plots"}));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.json().at("states").at("complete"), Value(4)) << outcome.out;
  const Value best = outcome.json().at("best");
  const auto shown = run({"tune", "show", "study.log", "--json", "--output", "again.yaml"});
  EXPECT_EQ(shown.out, outcome.out);
  for (const char* name : {"best.yaml", "again.yaml"}) {
    const auto fitted = run({"fit", "--config", name, "--json"});
    ASSERT_EQ(fitted.status, 0) << name << fitted.err;
    EXPECT_EQ(fitted.json().at("val_loss"), best.at("values").at("val_loss")) << fitted.out;
  }
  EXPECT_NE(test::read_file(folder_ / "report.html").find("<h2>Best trial</h2>"),
            std::string::npos);
  EXPECT_TRUE(files::exists(folder_ / "plots" / "history.svg"));
}

TEST_F(TuneCommand, copies_studies_to_a_database_of_optunas_and_back) {
  ASSERT_EQ(run(words({"--trainer.max_epochs=1"})).status, 0);
  EXPECT_EQ(run({"tune", "export", "study.log", "study.db"}).status, 0);
  expect_error({"tune", "export", "study.log", "study.db"}, 1, "study.db");
  EXPECT_EQ(run({"tune", "import", "study.db", "copy.log"}).status, 0);
  EXPECT_EQ(run({"tune", "show", "copy.log"}).out, run({"tune", "show", "study.log"}).out);
}

TEST_F(TuneCommand, says_what_is_wrong_before_the_first_trial) {
  write("wrong.yaml", "seed_everything: [1, 2]\nmodel.learning_rat: [0.1, 0.2]\n");
  expect_error({"tune", "--config", "base.yaml", "--search", "wrong.yaml", "--metric", "val_loss",
                "--trials", "2"},
               2, "wrong.yaml, line 2: ");
  expect_error({"tune", "--config", "base.yaml", "--metric", "val_loss"}, 2, "--search FILE");
  expect_error(words({"--sampler", "gird"}), 2, "did you mean 'grid'");
  expect_error(words({"--metric", "val_los"}), 2, "did you mean 'val_loss'");
  expect_error(words({"--worker", "2"}), 2, "did you mean '--workers'");
  expect_error({"tune", "show", "none.log"}, 2, "none.log");
  expect_error(words({"shw"}), 2, "shw");
  expect_error(words({"--print-config"}), 2, "--print-config");
  EXPECT_FALSE(files::exists(folder_ / "study.log"));
}

TEST_F(TuneCommand, the_same_seed_gives_the_same_study_for_any_number_of_workers) {
  write("rates.yaml", "model.learning_rate: {low: 0.001, high: 1.0, log: true}\n");
  for (const char* sampler : {"sobol", "population"}) {
    const std::vector<std::string> same = {"tune",       "--config",
                                           "base.yaml",  "--search",
                                           "rates.yaml", "--metric",
                                           "val_loss",   "--trials",
                                           "6",          "--sampler",
                                           sampler,      "--population",
                                           "3",          "--trainer.max_epochs=2",
                                           "--name",     sampler};
    auto alone = same;
    alone.insert(alone.end(), {"--study", "alone.log"});
    ASSERT_EQ(run(alone).status, 0) << sampler;
    auto together = same;
    together.insert(together.end(), {"--workers", "2"});
    const auto outcome = wait(start(together));
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    const StudyFile one(folder_ / "alone.log");
    const StudyFile two(folder_ / "study.log");
    EXPECT_EQ(study_table(*one.contents().study(sampler)),
              study_table(*two.contents().study(sampler)));
  }
}

TEST_F(TuneCommand, a_trial_that_never_ends_is_killed_and_the_search_goes_on) {
  write("epochs.yaml", "trainer.max_epochs: [1, 100000000]\n");
  const auto outcome =
      wait(start({"tune", "--config", "base.yaml", "--search", "epochs.yaml", "--metric",
                  "val_loss", "--sampler", "grid", "--workers", "2", "--trial-timeout", "1"}));
  EXPECT_TRUE(outcome.status == 0 || outcome.status == 1) << outcome.err;
  const Study ended = study();
  ASSERT_EQ(ended.trials.size(), 2U);
  EXPECT_TRUE(is_finished(ended.trials[0].state));
  EXPECT_EQ(ended.trials[1].state, TrialState::fail);
  EXPECT_EQ(ended.trials[1].user_attributes.at("error").as_string(),
            "killed after 1 s (--trial-timeout)");
}

TEST_F(TuneCommand, a_sweep_trains_a_grid_from_the_command_line) {
  const std::vector<std::string> grid = {"--config", "base.yaml", "--trainer.max_epochs=1",
                                         "--model.learning_rate=0.01,0.3",
                                         "--data.batch_size=16,32"};
  std::vector<std::string> fit = {"fit", "--sweep"};
  fit.insert(fit.end(), grid.begin(), grid.end());
  const auto outcome = wait(start(fit));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  std::vector<std::string> sweep = {"sweep", "--json"};
  sweep.insert(sweep.end(), grid.begin(), grid.end());
  const auto again = run(sweep);
  ASSERT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(again.json().at("trials"), Value(4)) << "the same sweep, which is done";
  sweep.back() = "--data.batch_size=16,64";
  EXPECT_EQ(run(sweep).json().at("trials"), Value(4)) << "another sweep in the same file";
  const StudyFile file(folder_ / "sweeps.log");
  EXPECT_EQ(file.contents().studies().size(), 2U);
  std::set<std::pair<double, double>> pairs;
  for (const Trial& trial : file.contents().studies()[0]->trials) {
    pairs.insert(
        {trial.parameters.at("data.batch_size"), trial.parameters.at("model.learning_rate")});
  }
  EXPECT_EQ(pairs.size(), 4U);
  expect_error({"sweep", "--config", "base.yaml"}, 2, "several values");
  expect_error({"sweep", "--config", "base.yaml", "--model.learning_rat=1,2"}, 2,
               "--model.learning_rat: ");
}

std::string tuning_page() {
  return test::read_file(test::fs::path(LEVIN_SOURCE_DIR) / "docs" / "tuning.md");
}

TEST(TuningPage, has_all_options_samplers_and_pruners) {
  const std::string page = tuning_page();
  TuneOptions options;
  for (const auto& field : describe(options)) {
    EXPECT_NE(page.find("--" + option_name(field.name)), std::string::npos) << field.name;
    if (field.name != "sampler" && field.name != "pruner") continue;
    std::string names = field.help.substr(field.help.find(':') + 1);
    for (const char* separator : {" or ", ", "}) {
      for (size_t at; (at = names.find(separator)) != std::string::npos;) {
        names.replace(at, std::string(separator).size(), "\n");
      }
    }
    std::istringstream lines(names);
    for (std::string name; lines >> name;) {
      EXPECT_TRUE(name == "none" || page.find("`" + name + "`") != std::string::npos) << name;
    }
  }
}

TEST(Sweep, divides_values_at_commas_outside_of_brackets_and_quotes) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(values_of_sweep("[16],[32,32]"), (Words{"[16]", "[32,32]"}));
  EXPECT_EQ(values_of_sweep("0.1,1e-2"), (Words{"0.1", "1e-2"}));
  EXPECT_EQ(values_of_sweep("'a,b',\"c,d\""), (Words{"'a,b'", "\"c,d\""}));
  EXPECT_EQ(values_of_sweep("{a: [1,2], b: 3}"), (Words{"{a: [1,2], b: 3}"}));
  const char* const fit[] = {"levin", "fit", "--sweep", "--data.batch_size=1,2"};
  const auto words = with_sweep(4, fit);
  EXPECT_EQ(std::vector<std::string>(words.begin(), words.end()),
            (Words{"levin", "sweep", "--data.batch_size=1,2"}));
  EXPECT_EQ(with_sweep(2, fit).size(), 2U);
}

/// The GPU that the environment of a process names.
std::string gpu_of(pid_t process) {
  const std::string name = "CUDA_VISIBLE_DEVICES=";
  const std::string environment = test::read_file("/proc/" + std::to_string(process) + "/environ");
  const size_t at = environment.find(name);
  if (at == std::string::npos) return "none";
  return environment.substr(at + name.size()).c_str();  // up to the end of the entry
}

TEST_F(TuneCommand, each_worker_sees_a_gpu_of_its_own_and_so_does_the_one_that_replaces_it) {
  write("epochs.yaml", "trainer.max_epochs: [100000000, 100000001, 100000002]\n");
  const pid_t search =
      start({"tune", "--config", "base.yaml", "--search", "epochs.yaml", "--metric", "val_loss",
             "--sampler", "grid", "--workers", "2", "--gpus", "7,9"});
  std::set<pid_t> workers;
  ASSERT_TRUE(test::eventually([&] { return (workers = processes_of_trials(1)).size() == 2; }));
  const auto gpus = [&] {
    return std::set<std::string>{gpu_of(*workers.begin()), gpu_of(*workers.rbegin())};
  };
  EXPECT_EQ(gpus(), (std::set<std::string>{"7", "9"}));
  const pid_t killed = *workers.begin();
  EXPECT_EQ(::kill(killed, SIGKILL), 0);
  EXPECT_TRUE(test::eventually([&] {
    workers = processes_of_trials(1);
    return workers.size() == 2 && workers.count(killed) == 0;
  }));
  EXPECT_EQ(gpus(), (std::set<std::string>{"7", "9"}));
  ::kill(search, SIGKILL);
  wait(search);
}

TEST_F(TuneCommand, goes_on_when_a_worker_and_then_the_search_are_killed) {
  const pid_t search = start(words({"--workers", "2", "--gpus", "7,9"}));
  const auto worker = process_of_trial_with(3);
  ASSERT_TRUE(worker);
  EXPECT_EQ(::kill(*worker, SIGKILL), 0);
  for (int waited = 0; waited < 6000 && study().trials.size() < 3; ++waited) ::usleep(5000);
  ::kill(search, SIGKILL);
  EXPECT_EQ(wait(search).status, 128 + SIGKILL);

  const auto outcome = wait(start(words({"--workers", "2"})));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  const auto failed = expect_each_rate_once();
  ASSERT_FALSE(failed.empty());
  bool was_resumed = false;
  for (const Trial& trial : study().trials) {
    const auto before = trial.system_attributes.find("failed_trial");
    if (before == trial.system_attributes.end()) continue;
    const auto& steps = trial.intermediate_values;
    was_resumed = was_resumed || (!steps.empty() && steps.begin()->first > 0);
  }
  EXPECT_TRUE(was_resumed) << "no trial went on from the checkpoint of a killed one";
}

}  // namespace levin::tune_command_test
