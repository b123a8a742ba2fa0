#include <levin/tuning/commands/worker_processes.h>

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <levin/cli/environment.h>
#include <levin/cli/exit_status.h>
#include <levin/framework/core/cores.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/repeated_warnings.h>
#include <levin/framework/launch/descriptor.h>
#include <levin/framework/launch/supervisor_signals.h>
#include <levin/tuning/study/process_identity.h>
#include <levin/tuning/trials/run_trial.h>
#include <levin/tuning/trials/trial_queue.h>

namespace levin {
namespace {

constexpr const char* kWorkerVariable = "LEVIN_TUNE_WORKER";
constexpr int kPollMilliseconds = 10;
constexpr int kMostEarlyDeaths = 3;
constexpr double kSecondsToSave = 60.0;
constexpr double kSecondsBetweenRecoveries = 1.0;

std::string how_it_ended(const ChildEnd& end) {
  return end.by_signal ? fmt::format("the process of the trial was ended by signal {}", end.code)
                       : fmt::format("the process of the trial exited with status {}", end.code);
}

/// A process that runs trials.
struct TrialWorker {
  pid_t process = -1;
  /// From 0 to the number of workers less 1.
  int64_t place = 0;
  /// Closing it tells the worker to end.
  Descriptor input;
};

/// "0,1" and "2" are 0, 1 and 2.
std::vector<std::string> single_gpus(const std::vector<std::string>& lists) {
  std::vector<std::string> gpus;
  for (const auto& list : lists) {
    std::istringstream words(list);
    for (std::string word; std::getline(words, word, ',');) {
      if (!word.empty()) gpus.push_back(word);
    }
  }
  return gpus;
}

/// The environment of a worker: its GPU, if there is a list of them, and its share of the cores.
std::vector<std::string> environment_of_worker(const TuneOptions& options, int64_t place) {
  std::vector<std::string> environment = environment_of_process();
  const auto set = [&](const std::string& name, const std::string& value) {
    std::erase_if(environment,
                  [&](const std::string& entry) { return entry.starts_with(name + "="); });
    environment.push_back(name + "=" + value);
  };
  set(kWorkerVariable, "1");
  const auto gpus = single_gpus(options.gpus);
  if (!gpus.empty()) {
    set("CUDA_VISIBLE_DEVICES", gpus[static_cast<size_t>(place) % gpus.size()]);
  }
  if (std::getenv("OMP_NUM_THREADS") == nullptr) {
    const int64_t threads = std::max<int64_t>(1, usable_cores() / options.workers);
    set("OMP_NUM_THREADS", fmt::format("{}", threads));
  }
  return environment;
}

/// Supervises the workers of a search.
class WorkerPool {
 public:
  WorkerPool(const SearchPlan& plan, StudyFile& file, int64_t study,
             const std::function<void(const Study&, const Trial&)>& on_trial,
             const WorkerStart& start_worker)
      : plan_(plan), file_(file), study_(study), on_trial_(on_trial), start_worker_(start_worker) {
    const std::string identity = process_identity();
    realm_ = identity.substr(0, identity.find('-') + 1);
    for (const Trial& trial : current().trials) {
      if (is_finished(trial.state)) reported_.insert(trial.id);
    }
  }
  ~WorkerPool() {
    for (const auto& worker : workers_) signal_group(worker.process, SIGKILL);
    for (const auto& worker : workers_) {
      while (!end_of_child(worker.process)) ::usleep(1000);
    }
  }
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  bool run() {
    const double start = files::monotonic_seconds();
    bool is_over = false;
    while (signals_.stops() == 0) {
      file_.refresh();
      report();
      remove_dead_workers();
      recover_others();
      kill_slow_trials();
      const double seconds = files::monotonic_seconds() - start;
      const bool is_late = plan_.options.time > 0 && seconds >= plan_.options.time;
      if (!is_ending_ && (is_late || is_epoch_budget_spent(plan_, current()))) let_workers_end();
      if (is_ending_ && workers_.empty()) break;
      if (!is_ending_) {
        queue_trials();
        is_over = pending() == 0;
        if (is_over) break;
        start_workers();
      }
      wait_for_signal(kPollMilliseconds);
    }
    const bool interrupted = signals_.stops() > 0;
    end_workers(interrupted);
    if (is_over) end_paused_trials(plan_, file_, study_);
    file_.refresh();
    report();
    return !interrupted;
  }

 private:
  const Study& current() const { return *file_.contents().study(study_); }

  void wait_for_signal(int milliseconds) {
    pollfd event{signals_.descriptor(), POLLIN, 0};
    if (::poll(&event, 1, milliseconds) > 0) signals_.clear();
  }

  /// Whether the trial runs in this worker.
  bool runs_in(const Trial& trial, pid_t process) const {
    return trial.state == TrialState::running &&
           file_.contents().worker_of(trial.id).find(fmt::format("{}{}-", realm_, process)) !=
               std::string_view::npos;
  }

  const Trial* trial_of(const TrialWorker& worker) const {
    for (const Trial& trial : current().trials) {
      if (runs_in(trial, worker.process)) return &trial;
    }
    return nullptr;
  }

  /// How many trials wait or run in the workers.
  int64_t pending() const {
    int64_t count = waiting_count(plan_, current());
    for (const auto& worker : workers_) count += trial_of(worker) == nullptr ? 0 : 1;
    return count;
  }

  void queue_trials() {
    const auto is_wanted = [this](const Study& study) { return !is_budget_spent(plan_, study); };
    while (pending() < plan_.options.workers && is_wanted(current())) {
      if (!file_.enqueue_trial_if(study_, {}, is_wanted)) break;  // other searches fill it, too
    }
  }

  /// The lowest number that no worker has.
  int64_t free_place() const {
    int64_t place = 0;
    while (std::any_of(workers_.begin(), workers_.end(),
                       [&](const TrialWorker& worker) { return worker.place == place; })) {
      ++place;
    }
    return place;
  }

  void start_workers() {
    while (static_cast<int64_t>(workers_.size()) < plan_.options.workers) {
      const int64_t place = free_place();
      ChildCommand command = own_command();
      command.environment = environment_of_worker(plan_.options, place);
      Pipe pipe = Pipe::open();
      if (pipe.read.get() < 0) throw Error("no file descriptor is left for another worker");
      command.input = pipe.read.get();
      workers_.push_back({start_worker_(command, signals_), place, std::move(pipe.write)});
    }
  }

  /// Lets each worker end when its trial has ended.
  void let_workers_end() {
    is_ending_ = true;
    for (auto& worker : workers_) worker.input.close();
  }

  void remove_dead_workers() {
    for (auto worker = workers_.begin(); worker != workers_.end();) {
      const auto end = end_of_child(worker->process);
      if (!end) {
        ++worker;
        continue;
      }
      file_.refresh();
      const bool had_trial = trial_of(*worker) != nullptr;
      const bool is_early = !had_trial && !is_ending_ && was_killed_.erase(worker->process) == 0;
      early_deaths_ = is_early ? early_deaths_ + 1 : 0;
      fail_trials_of_dead_workers(file_, study_, how_it_ended(*end));
      worker = workers_.erase(worker);
      report();
      if (early_deaths_ < kMostEarlyDeaths) continue;
      throw Error(
          fmt::format("workers end before they have run a trial (the last one: {}); see "
                      "their messages above",
                      how_it_ended(*end)));
    }
  }

  /// Takes over the trials of other searches whose processes or hosts have died.
  void recover_others() {
    const double now = files::monotonic_seconds();
    if (now - recovered_ < kSecondsBetweenRecoveries) return;
    recovered_ = now;
    recover_trials(file_, study_, [this](const Trial& trial) {
      return std::any_of(workers_.begin(), workers_.end(),
                         [&](const TrialWorker& worker) { return runs_in(trial, worker.process); });
    });
  }

  void kill_slow_trials() {
    if (plan_.options.trial_timeout == 0) return;
    const double now = files::monotonic_seconds();
    for (const auto& worker : workers_) {
      const Trial* const trial = trial_of(worker);
      if (trial == nullptr) continue;
      const int64_t id = trial->id;
      const double since = seen_since_.emplace(id, now).first->second;
      if (now - since < plan_.options.trial_timeout) continue;
      const std::string reason =
          fmt::format("killed after {} s (--trial-timeout)", plan_.options.trial_timeout);
      if (!fail_trial(file_, id, reason)) continue;
      was_killed_.insert(worker.process);
      signal_group(worker.process, SIGKILL);
    }
  }

  void report() {
    for (const Trial& trial : current().trials) {
      if (!is_finished(trial.state) || !reported_.insert(trial.id).second) continue;
      early_deaths_ = 0;
      if (on_trial_) on_trial_(current(), trial);
    }
  }

  /// Lets the workers end: at once, or when they have saved what they do.
  void end_workers(bool interrupted) {
    const double until = files::monotonic_seconds() + kSecondsToSave;
    for (auto& worker : workers_) {
      worker.input.close();
      if (interrupted) signal_group(worker.process, SIGTERM);
    }
    while (!workers_.empty() && files::monotonic_seconds() < until) {
      workers_.remove_if(
          [](const TrialWorker& worker) { return end_of_child(worker.process).has_value(); });
      if (!workers_.empty()) wait_for_signal(kPollMilliseconds);
    }
  }

  const SearchPlan& plan_;
  StudyFile& file_;
  int64_t study_;
  const std::function<void(const Study&, const Trial&)>& on_trial_;
  const WorkerStart& start_worker_;
  SupervisorSignals signals_;
  std::string realm_;  // what the identities of processes of this machine begin with
  std::list<TrialWorker> workers_;
  std::set<pid_t> was_killed_;
  std::set<int64_t> reported_;
  std::map<int64_t, double> seen_since_;
  double recovered_ = files::monotonic_seconds();
  int early_deaths_ = 0;
  bool is_ending_ = false;
};

/// Whether the search has closed this worker's stdin; waits a little for that.
bool has_input_ended(int milliseconds) {
  pollfd event{STDIN_FILENO, POLLIN, 0};
  return ::poll(&event, 1, milliseconds) > 0;
}

}  // namespace

bool is_tune_worker() { return std::getenv(kWorkerVariable) != nullptr; }

int work_for_search(const SearchPlan& plan, const Registry& registry) {
  const RepeatedWarningsAreLeftOut warnings;
  StudyFile file(plan.options.study);
  const int64_t study = file.open_study(plan.options.name, plan.directions);
  int wait = 0;  // none after a trial
  while (!has_input_ended(wait)) {
    const auto trial = start_waiting_trial(plan, file, study);
    wait = trial ? 0 : kPollMilliseconds;
    if (trial && !run_trial(plan, registry, file, *trial)) return kInterrupted;
  }
  return kDone;
}

bool search_with_workers(const SearchPlan& plan, StudyFile& file, int64_t study,
                         const std::function<void(const Study&, const Trial&)>& on_trial,
                         const WorkerStart& start_worker) {
  recover_trials(file, study);
  return WorkerPool(plan, file, study, on_trial, start_worker).run();
}

}  // namespace levin
