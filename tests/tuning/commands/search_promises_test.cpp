// What a search promises as a whole: sweeps, all ways to search, and that it outlives any death.
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <levin/cli/shipped_classes.h>
#include <levin/framework/config/yaml.h>
#include <levin/tuning/commands/worker_processes.h>

#include "framework/python.h"
#include "tuning/commands/tune_command.h"

namespace levin::search_promises_test {

class SearchPromises : public test::TuneCommandTest {
 protected:
  /// How many trials of a study have ended.
  int64_t ended_trials(const test::fs::path& path, const std::string& name) const {
    if (!files::exists(path)) return 0;
    const StudyFile file(path);
    const Study* const found = file.contents().study(name);
    if (found == nullptr) return 0;
    return std::count_if(found->trials.begin(), found->trials.end(),
                         [](const Trial& trial) { return is_finished(trial.state); });
  }
  /// Waits until so many have.
  bool wait_for_ended(const test::fs::path& path, const std::string& name, int64_t count) const {
    return test::eventually([&] { return ended_trials(path, name) >= count; });
  }
  /// The processes that have run trials of a study.
  std::set<std::string> workers_of(const test::fs::path& path, const std::string& name) const {
    std::set<std::string> workers;
    const StudyFile file(path);
    for (const Trial& trial : file.contents().study(name)->trials) {
      if (is_finished(trial.state)) workers.emplace(file.contents().worker_of(trial.id));
    }
    return workers;
  }
};

// row 31
TEST_F(SearchPromises, sweeps_over_width_depth_learning_rate_and_batch_size_with_table_and_plot) {
  write("mlp.yaml", R"(
trainer: {max_epochs: 1, accelerator: cpu, logger: false, enable_checkpointing: false}
model: {class_path: MLP, init_args: {in_features: 4, num_classes: 3}}
data: {class_path: IrisDataModule}
)");
  const auto outcome =
      run({"sweep", "--config", "mlp.yaml", "--model.hidden_sizes=[4],[8],[4,4]",
           "--model.learning_rate=0.03,0.3", "--data.batch_size=16,64", "--metric", "val_acc",
           "--output", "best.yaml", "--plots", "plots", "--name", "levin", "--study", "study.log"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  std::set<ParameterValues> combinations;
  double best = 0.0;
  const Study done = study();
  for (const Trial& trial : done.trials) {
    EXPECT_EQ(trial.state, TrialState::complete);
    EXPECT_EQ(trial.parameters.size(), 3U);
    combinations.insert(trial.parameters);
    best = std::max(best, trial.values.at(0));
  }
  EXPECT_EQ(done.trials.size(), 12U);
  EXPECT_EQ(combinations.size(), 12U) << "of three nets, two rates and two sizes of batches";
  const auto table = test::lines_of(run({"tune", "show", "study.log"}).out);
  ASSERT_GE(table.size(), 13U) << "a line for each trial, and a head";
  for (const char* column : {"hidden_sizes", "learning_rate", "batch_size", "val_acc"}) {
    EXPECT_NE(table[0].find(column), std::string::npos) << table[0];
  }
  for (const char* plot : {"history", "importance", "slices", "parallel"}) {
    const std::string svg = test::read_file(folder_ / "plots" / (std::string(plot) + ".svg"));
    EXPECT_EQ(svg.compare(0, 4, "<svg"), 0) << plot;
    EXPECT_TRUE(std::string(plot) == "history" || svg.find("hidden_sizes") != svg.npos) << plot;
  }
  const auto fitted = run({"fit", "--config", "best.yaml", "--json"});
  EXPECT_EQ(fitted.json().at("val_acc"), Value(best)) << "the best configuration runs";
}

/// Stops a process at a moment at which it doesn't hold the lock of the file. Returns false if it
/// has ended before.
bool stop_without_lock(pid_t process, const test::fs::path& file) {
  for (;;) {
    siginfo_t info{};
    ::kill(process, SIGSTOP);
    ::waitid(P_PID, static_cast<id_t>(process), &info, WSTOPPED | WEXITED | WNOWAIT);
    if (info.si_code != CLD_STOPPED) return false;
    if (!test::fs::is_symlink(file.string() + ".lock")) return true;
    ::kill(process, SIGCONT);
  }
}

// row 54: the first search stands still until the second one has run a trial.
TEST_F(SearchPromises,
       searches_by_grid_at_random_by_halving_and_bayes_with_early_stops_on_two_hosts) {
  write("rates.yaml", "model.learning_rate: {low: 0.001, high: 1.0, log: true}\n");
  const std::string no_files = "--trainer.enable_checkpointing=false";
  const std::map<std::string, std::vector<std::string>> ways = {
      {"grid", {"--grid-points", "16", "--pruner", "median", no_files}},
      {"random", {"--trials", "16", "--pruner", "median", no_files}},
      {"halving", {"--candidates", "9", "--trainer.max_epochs=9"}},
      {"tpe", {"--trials", "16", "--pruner", "median", no_files}}};
  for (const auto& way : ways) {
    const std::string& sampler = way.first;
    SCOPED_TRACE(sampler);
    test::fs::path path;
    std::vector<std::string> search;
    pid_t first = -1;
    // The first search may have run many trials before it is stopped.
    for (int attempt = 0; first < 0 && attempt < 10; ++attempt) {
      path = folder_ / (sampler + std::to_string(attempt) + ".log");
      search = {"tune",        "--config",
                "base.yaml",   "--search",
                "rates.yaml",  "--metric",
                "val_loss",    "--name",
                sampler,       "--study",
                path.string(), "--sampler",
                sampler,       "--trainer.max_epochs=8"};
      search.insert(search.end(), way.second.begin(), way.second.end());
      first = start_copy(search);
      ASSERT_TRUE(wait_for_ended(path, sampler, 1));
      if (stop_without_lock(first, path) && ended_trials(path, sampler) <= 5) break;
      ::kill(first, SIGCONT);
      wait(std::exchange(first, -1));
    }
    ASSERT_GT(first, 0);
    const pid_t second = start_copy(search);
    EXPECT_TRUE(test::eventually([&] { return workers_of(path, sampler).size() == 2; }));
    ::kill(first, SIGCONT);
    EXPECT_EQ(wait(first).status, 0);
    EXPECT_EQ(wait(second).status, 0);
    const StudyFile file(path);
    const Study& found = *file.contents().study(sampler);
    EXPECT_EQ(found.trials.size(), sampler == "halving" ? 9U + 3U + 1U : 16U);
    int early = 0;
    for (const Trial& trial : found.trials) {
      EXPECT_TRUE(is_finished(trial.state) && trial.state != TrialState::fail) << trial.number;
      early += trial.state == TrialState::pruned ? 1 : 0;
    }
    EXPECT_GT(early, 0) << "bad trials end early";
    EXPECT_NE(found.best_trial(), nullptr);
    EXPECT_EQ(workers_of(path, sampler).size(), 2U);
  }
}

TEST_F(SearchPromises, optuna_dashboard_shows_a_search_while_it_runs) {
  write("epochs.yaml", "trainer.max_epochs: [1, 2, 100000000]\n");
  const pid_t search = start_copy({"tune", "--config", "base.yaml", "--search", "epochs.yaml",
                                   "--metric", "val_loss", "--sampler", "grid"});
  EXPECT_TRUE(test::eventually([&] { return processes_of_trials(3).size() == 1; }));
  const auto shown = test::run_python("tuning_dashboard.py", {(folder_ / "study.log").string()});
  EXPECT_EQ(::waitpid(search, nullptr, WNOHANG), 0) << "the search has ended";
  ::kill(search, SIGKILL);
  wait(search);
  if (shown.status == 77) GTEST_SKIP() << "needs a Python with optuna-dashboard";
  ASSERT_EQ(shown.status, 0) << shown.output;
  const Value seen = Value::from_json(shown.output);
  EXPECT_EQ(seen.at("studies"), Value(Value::Array{"levin"}));
  const Study own = study();
  const auto& rows = seen.at("trials").as_array();
  ASSERT_EQ(rows.size(), 3U);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(rows[i].at("state"), Value("Complete"));
    EXPECT_EQ(rows[i].at("values"), Value(Value::Array{own.trials[i].values.at(0)}));
    EXPECT_EQ(rows[i].at("steps"), Value(static_cast<int64_t>(i + 1)));
    EXPECT_EQ(rows[i].at("params").at("trainer.max_epochs"), Value(std::to_string(i + 1)));
  }
  EXPECT_EQ(rows[2].at("state"), Value("Running"));
  EXPECT_GE(rows[2].at("steps").as_int(), 3);
}

TEST_F(SearchPromises, a_search_takes_over_the_trial_of_another_one_that_dies_while_it_waits) {
  write("rates.yaml", "model.learning_rate: {low: 0.001, high: 1.0, log: true}\n");
  const auto path = folder_ / "study.log";
  int64_t id = -1;
  {
    StudyFile file(path);
    id = file.open_study("levin", {StudyDirection::minimize});
  }
  const pid_t other = ::fork();
  if (other == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    StudyFile own(path);
    own.update(own.create_trial(id),
               {.parameters = {{"model.learning_rate", 0.1}},
                .distributions = {{"model.learning_rate", FloatDistribution{0.001, 1.0, true}}}});
    for (;;) ::pause();
  }
  ASSERT_TRUE(test::eventually([&] {
    const Study begun = study();
    return begun.trials.size() == 1 && !begun.trials[0].parameters.empty();
  }));
  const pid_t search =
      start({"tune", "--config", "base.yaml", "--search", "rates.yaml", "--metric", "val_loss",
             "--trainer.max_epochs=1", "--workers", "2", "--lag", "2", "--trials", "4"});
  // The third trial has to know how the first one ends.
  EXPECT_TRUE(wait_for_ended(path, "levin", 1));
  ::kill(other, SIGKILL);
  ::waitpid(other, nullptr, 0);
  const auto outcome = wait(search);
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  const Study done = study();
  ASSERT_EQ(done.trials.size(), 5U) << "four of their own, and one that takes over";
  for (const Trial& trial : done.trials) {
    EXPECT_EQ(trial.state, trial.number == 0 ? TrialState::fail : TrialState::complete);
  }
}

/// A search whose workers are forked, so that it begins within milliseconds.
class KilledSearch {
 public:
  KilledSearch(const test::fs::path& folder, const std::string& base, int64_t trials)
      : path_(folder / "study.log") {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);  // the workers of a killed search are waited for here
    TuneOptions options;
    options.metric = {"val_loss"};
    options.study = path_.string();
    options.trials = trials;
    options.sampler = "random";
    options.workers = 2;
    auto space = SearchSpace::from_value(Value::Object{
        {"model.learning_rate", Value::Object{{"low", 0.001}, {"high", 1.0}, {"log", true}}}});
    plan_ = plan_search(parse_yaml(base, "the test"), std::move(space), std::move(options));
  }
  ~KilledSearch() {
    kill_search();
    ::prctl(PR_SET_CHILD_SUBREAPER, 0);
  }
  KilledSearch(const KilledSearch&) = delete;
  KilledSearch& operator=(const KilledSearch&) = delete;

  void set_trials(int64_t trials) { plan_.options.trials = trials; }
  void start() {
    search_ = ::fork();
    if (search_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    StudyFile file(path_);
    const int64_t study = file.open_study("levin", plan_.directions);
    const bool is_done = search_with_workers(
        plan_, file, study, {}, [this](const ChildCommand& command, const SupervisorSignals&) {
          return fork_worker(command);
        });
    ::_exit(is_done ? 0 : 1);
  }
  bool is_running() const { return ::waitpid(search_, nullptr, WNOHANG) == 0; }
  int wait() {
    int status = 0;
    ::waitpid(std::exchange(search_, -1), &status, 0);
    return status;
  }
  /// Kills the search, and waits until its workers are dead as well.
  void kill_search() {
    if (search_ <= 0) return;
    ::kill(search_, SIGKILL);
    wait();
    for (;;) {  // the kernel has killed them with it
      if (::waitpid(-1, nullptr, 0) < 0) break;
    }
  }

 private:
  pid_t fork_worker(const ChildCommand& command) {
    const pid_t search = ::getpid();
    const pid_t worker = ::fork();
    if (worker == 0) {
      ::setpgid(0, 0);
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != search) ::_exit(1);  // it was killed in between
      ::dup2(command.input, STDIN_FILENO);
      ::syscall(SYS_close_range, 3U, ~0U, 0U);  // the ends of other workers' pipes
      ::_exit(work_for_search(plan_, shipped_classes()));
    }
    ::setpgid(worker, worker);
    return worker;
  }

  test::fs::path path_;
  SearchPlan plan_;
  pid_t search_ = -1;
};

/// The values of the trials that are complete, by their ids.
std::map<int64_t, double> complete_trials(const Study& study) {
  std::map<int64_t, double> values;
  for (const Trial& trial : study.trials) {
    if (trial.state == TrialState::complete) values.emplace(trial.id, trial.values.at(0));
  }
  return values;
}

/// The number of the trial that was tried first, of those that take over from each other.
int64_t first_attempt(const Study& study, const Trial& trial) {
  const auto before = trial.system_attributes.find("failed_trial");
  if (before == trial.system_attributes.end()) return trial.number;
  return first_attempt(study, study.trials.at(static_cast<size_t>(before->second.as_int())));
}

TEST_F(SearchPromises,
       fifty_kills_of_workers_and_search_lose_no_finished_trial_and_run_none_twice) {
  constexpr int kKills = 50;
  const auto seed = std::random_device{}();
  std::printf("the moments of the kills have the seed %u\n", seed);
  std::minstd_rand random(seed);
  const std::string base =
      "trainer: {max_epochs: 8, accelerator: cpu, logger: false, threads: 1, default_root_dir: '" +
      folder_.string() +
      "'}\nmodel: {class_path: LogisticRegression, init_args: {in_features: 4, num_classes: 3}}\n"
      "data: {class_path: IrisDataModule, init_args: {batch_size: 16}}\n";
  KilledSearch search(folder_.path(), base, 100000);
  std::map<int64_t, double> seen;
  std::set<pid_t> dead;
  search.start();
  ASSERT_TRUE(wait_for_ended(folder_ / "study.log", "levin", 1));
  for (int kills = 0; kills < kKills;) {
    // A trial writes some 3,000 bytes.
    const uintmax_t size = test::fs::file_size(folder_ / "study.log") + random() % 3000;
    ASSERT_TRUE(
        test::eventually([&] { return test::fs::file_size(folder_ / "study.log") >= size; }));
    ::usleep(static_cast<useconds_t>(random() % 3000));
    ASSERT_TRUE(search.is_running()) << "after " << kills << " kills";
    seen.merge(complete_trials(study()));
    if (random() % 5 == 0) {
      search.kill_search();
      search.start();
      ++kills;
      continue;
    }
    std::set<pid_t> workers = processes_of_trials(0);
    for (const pid_t process : dead) workers.erase(process);
    if (workers.empty()) continue;
    const pid_t chosen = random() % 2 == 0 ? *workers.begin() : *workers.rbegin();
    kills += ::kill(chosen, SIGKILL) == 0 ? 1 : 0;
    dead.insert(chosen);
  }
  search.kill_search();
  search.set_trials(1);  // what has begun is brought to its end
  search.start();
  EXPECT_EQ(search.wait(), 0);

  const Study ended = study();
  const auto complete = complete_trials(ended);
  for (const auto& [id, value] : seen) {
    ASSERT_TRUE(complete.count(id)) << "trial " << id << " is lost";
    EXPECT_EQ(complete.at(id), value);
  }
  EXPECT_GT(seen.size(), 5U);
  std::map<int64_t, int> times;  // how often each place of the search is complete
  std::map<int64_t, const Trial*> last;
  int killed = 0;
  for (const Trial& trial : ended.trials) {
    ASSERT_TRUE(is_finished(trial.state)) << trial.number;
    killed += trial.system_attributes.count("levin:process_died") > 0 ? 1 : 0;
    const int64_t place = first_attempt(ended, trial);
    times[place] += trial.state == TrialState::complete ? 1 : 0;
    last[place] = &trial;
  }
  EXPECT_GT(killed, 10) << "few of the kills met a trial";
  for (const auto& [place, count] : times) {
    EXPECT_LE(count, 1) << "trial " << place << " has run twice";
    // Trials whose processes die again and again are given up: see fail_trials_of_dead_workers.
    EXPECT_TRUE(count == 1 || last[place]->system_attributes.count("retry_history") > 0) << place;
  }
  const auto read =
      test::run_python("tuning_study.py", {"read", (folder_ / "study.log").string(), "levin"});
  if (read.status == 77) GTEST_SKIP() << "needs a Python with optuna";
  EXPECT_EQ(read.status, 0) << read.output;
  const auto& rows = Value::from_json(read.output).at("trials").as_array();
  ASSERT_EQ(rows.size(), ended.trials.size());
  for (const auto& [id, value] : complete) {
    EXPECT_EQ(rows[static_cast<size_t>(id)].at("values"), Value(Value::Array{value}));
  }
}

}  // namespace levin::search_promises_test
