#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <levin/framework/core/files.h>
#include <levin/tuning/study/study_file.h>

#include "cli/program.h"
#include "framework/eventually.h"

namespace levin::test {

/// A folder with a configuration, base.yaml, and a space of four rates, space.yaml.
class TuneCommandTest : public ProgramTest {
 protected:
  TuneCommandTest() {
    write("base.yaml", R"(
trainer: {max_epochs: 150, accelerator: cpu, logger: false, threads: 1}
model: {class_path: LogisticRegression, init_args: {in_features: 4, num_classes: 3}}
data: {class_path: IrisDataModule, init_args: {batch_size: 16}}
)");
    write("space.yaml", "model.learning_rate: [0.01, 0.03, 0.1, 0.3]\n");
  }
  std::vector<std::string> words(const std::vector<std::string>& more) const {
    std::vector<std::string> all = {"tune",     "--config", "base.yaml", "--search", "space.yaml",
                                    "--metric", "val_loss", "--sampler", "grid"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  Study study() const {
    const StudyFile file(folder_ / "study.log");
    return *file.contents().study("levin");
  }
  /// The processes that run trials which have reported so many epochs.
  std::set<pid_t> processes_of_trials(size_t steps) const {
    std::set<pid_t> processes;
    if (!files::exists(folder_ / "study.log")) return processes;
    const StudyFile file(folder_ / "study.log");
    const Study* const found = file.contents().study("levin");
    if (found == nullptr) return processes;
    for (const Trial& trial : found->trials) {
      if (trial.state != TrialState::running || trial.intermediate_values.size() < steps) continue;
      const std::string worker(file.contents().worker_of(trial.id));
      const size_t end = worker.rfind('-');
      const size_t begin = worker.rfind('-', end - 1) + 1;
      processes.insert(static_cast<pid_t>(std::stol(worker.substr(begin, end - begin))));
    }
    return processes;
  }
  /// Waits for a running trial that has reported so many epochs, and returns its process; nothing
  /// if there is none.
  std::optional<pid_t> process_of_trial_with(size_t steps) const {
    std::set<pid_t> processes;
    eventually([&] { return !(processes = processes_of_trials(steps)).empty(); });
    if (processes.empty()) return std::nullopt;
    return *processes.begin();
  }
  /// Expects that each of the four rates is complete once, and returns the trials that failed.
  std::vector<Trial> expect_each_rate_once() const {
    std::map<double, int> complete;
    std::vector<Trial> failed;
    for (const Trial& trial : study().trials) {
      EXPECT_TRUE(is_finished(trial.state)) << "trial " << trial.number;
      if (trial.state == TrialState::complete) ++complete[trial.parameters.begin()->second];
      if (trial.state == TrialState::fail) failed.push_back(trial);
    }
    EXPECT_EQ(complete, (std::map<double, int>{{0, 1}, {1, 1}, {2, 1}, {3, 1}}));
    return failed;
  }
};

}  // namespace levin::test
