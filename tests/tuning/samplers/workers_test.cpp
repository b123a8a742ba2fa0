// With the same seed, a search gives the same study whatever the number of processes that run it.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <levin/tuning/samplers/simple_searchers.h>
#include <levin/tuning/samplers/tpe_searcher.h>
#include <levin/tuning/study/study_file.h>

#include "framework/temporary_folder.h"

namespace levin::workers_test {

constexpr int64_t kTrials = 18;

SearchSpace space() {
  return SearchSpace::from_value(Value::Object{
      {"depth", Value::Object{{"low", 1}, {"high", 3}}},
      {"kind", Value::Array{"a", "b", "c"}},
      {"x", Value::Object{{"low", 0.0}, {"high", 1.0}, {"step", 0.5}}},
  });
}

/// Runs trials until the study has enough, and waits for those that a trial has to know of.
void work(const std::filesystem::path& path, int64_t study, const Searcher& searcher) {
  const SearchSpace ranges = space();
  StudyFile file(path);
  while (static_cast<int64_t>(file.contents().study(study)->trials.size()) < kTrials) {
    const int64_t id = file.create_trial(study);
    const int64_t number = file.contents().trial(id)->number;
    while (!searcher.is_ready(*file.contents().study(study), number)) {
      ::usleep(500);
      file.refresh();
    }
    const auto suggestion = searcher.suggest(*file.contents().study(study), number);
    TrialUpdate update;
    update.parameters = suggestion->parameters;
    for (const auto& [name, value] : update.parameters) {
      update.distributions.emplace(name, ranges.find(name)->distribution);
    }
    file.update(id, update);
    file.finish(id, TrialState::complete,
                {update.parameters.at("x") - update.parameters.at("kind")});
  }
}

/// The parameters of the first trials, by number.
std::vector<ParameterValues> run(const Searcher& searcher, int workers) {
  const test::TemporaryFolder folder;
  const auto path = folder / "study.log";
  StudyFile file(path);
  const int64_t study = file.open_study("s", {StudyDirection::minimize});
  std::vector<pid_t> children;
  for (int i = 0; i < workers; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      work(path, study, searcher);
      ::_exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  file.refresh();
  const auto& trials = file.contents().study(study)->trials;
  EXPECT_GE(trials.size(), static_cast<size_t>(kTrials));
  std::vector<ParameterValues> parameters;
  for (int64_t i = 0; i < kTrials; ++i) {
    parameters.push_back(trials.at(static_cast<size_t>(i)).parameters);
  }
  return parameters;
}

TEST(Workers, three_processes_make_the_study_that_one_makes) {
  std::vector<std::unique_ptr<Searcher>> searchers;
  searchers.push_back(std::make_unique<GridSearcher>(space()));
  searchers.push_back(std::make_unique<RandomSearcher>(space(), 5));
  searchers.push_back(std::make_unique<SobolSearcher>(space(), 5));
  searchers.push_back(
      std::make_unique<TpeSearcher>(space(), TpeOptions{.seed = 5, .startup_trials = 4, .lag = 3}));
  for (size_t i = 0; i < searchers.size(); ++i) {
    EXPECT_EQ(run(*searchers[i], 3), run(*searchers[i], 1)) << "searcher " << i;
  }
}

}  // namespace levin::workers_test
