#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <levin/framework/core/value.h>
#include <levin/tuning/study/journal_file.h>
#include <levin/tuning/study/journal_replay.h>
#include <levin/tuning/study/owner_beats.h>
#include <levin/tuning/study/silent_processes.h>
#include <levin/tuning/study/trial.h>

namespace levin {

/// What is added to a trial that runs or waits. All of it is written together.
struct TrialUpdate {
  ParameterValues parameters{};
  /// The distribution of each of the parameters.
  std::map<std::string, Distribution> distributions{};
  /// Values by step.
  std::map<int64_t, double> intermediate_values{};
  Value::Object user_attributes{};
  Value::Object system_attributes{};
};
/// What is added to several trials, by their ids.
using TrialUpdates = std::vector<std::pair<int64_t, TrialUpdate>>;

/// Studies in a file that Optuna 5 reads and writes as well, at the same time:
///
///     levin::StudyFile file("study.log");
///     const int64_t study = file.open_study("digits", {levin::StudyDirection::minimize});
///     const int64_t trial = file.create_trial(study);
///     file.update(trial, {.parameters = {{"rate", 0.1}}, .distributions = {{"rate", range}}});
///     file.finish(trial, levin::TrialState::complete, {0.25});
///
///     # Python
///     storage = JournalStorage(JournalFileBackend("study.log"))
///     optuna.load_study(study_name="digits", storage=storage).best_value
///
/// What a function has written is on the disk when it returns (unless `set_sync_interval` is
/// called), and outlasts a kill -9 of the process. Each function first reads what other processes
/// have written. An object is used by one thread at a time; once it has started a trial, a thread
/// of its own shows other hosts that the process lives. Besides what is said below, the functions
/// throw CheckpointError if the file can't be read or written, and DataError if it isn't a journal.
class StudyFile {
 public:
  /// Opens a file, which is created if it is missing; its folder must exist.
  explicit StudyFile(const std::filesystem::path& path);

  /// What this process writes as the author of its lines.
  const std::string& worker_id() const { return worker_; }
  /// Reads what other processes have written since the last call.
  void refresh();
  /// What the file says, as of the last call of any function. Pointers into it are valid until the
  /// next one.
  const JournalReplay& contents() const { return replay_; }

  /// Lets functions return before what they have written is on the disk, but no longer than so many
  /// seconds after the last time; see JournalFile. `sync` waits for all of it.
  void set_sync_interval(double seconds) { file_.set_sync_interval(seconds); }
  void sync() { file_.sync(); }
  /// Keeps other processes from adding anything while the returned object exists, so that many
  /// calls in a row don't each wait for the lock. Others wait for that long.
  ///
  ///     const auto held = file.hold();
  ///     for (const int64_t trial : trials) file.finish(trial, levin::TrialState::pruned);
  [[nodiscard]] JournalLockGuard hold() { return JournalLockGuard(file_.lock()); }

  /// Returns the id of the study of that name, which is created if there is none. Throws
  /// ConfigError if it exists with other directions.
  int64_t open_study(const std::string& name, const std::vector<StudyDirection>& directions);
  /// Adds a copy of a study with all its trials, and returns its id. A trial that runs waits in the
  /// copy. Throws ConfigError if there is a study of that name.
  int64_t add_study(const Study& study);
  /// Throws ConfigError if there is no such study, as the functions that follow do.
  void delete_study(int64_t study);
  void set_study_user_attribute(int64_t study, const std::string& name, const Value& value);
  void set_study_system_attribute(int64_t study, const std::string& name, const Value& value);

  /// Adds a trial that this process runs, and returns its id.
  int64_t create_trial(int64_t study);
  /// The same, if the study is such that `is_wanted`, which is asked when no other process can
  /// change it until the trial is there. Else returns nothing.
  std::optional<int64_t> create_trial_if(int64_t study,
                                         const std::function<bool(const Study&)>& is_wanted);
  /// Adds a trial that waits for a process to run it, with these system attributes (Optuna's
  /// enqueue_trial has "fixed_params"), and returns its id.
  int64_t enqueue_trial(int64_t study, const Value::Object& system_attributes);
  /// The same under a condition, as create_trial_if.
  std::optional<int64_t> enqueue_trial_if(int64_t study, const Value::Object& system_attributes,
                                          const std::function<bool(const Study&)>& is_wanted);
  /// Starts a waiting trial. Returns whether this process is the one that runs it: false if another
  /// one was first, or it has finished.
  bool start_waiting(int64_t trial);
  /// Makes a running trial wait, so that any process may go on with it. Returns false if it doesn't
  /// run.
  bool pause(int64_t trial);
  /// Returns the ids of the study's running trials whose processes, Levin's, have ended without
  /// ending the trials, because they were killed for example. What becomes of such a trial is up to
  /// the caller: it fails, or another process goes on with it. A process of another host counts as
  /// ended if it has given no sign of life for two minutes in which this function was called from
  /// time to time (SilentProcesses). Nothing is known of Optuna's processes.
  std::vector<int64_t> abandoned_trials(int64_t study);
  /// Adds to a trial. Throws ConfigError if it has finished or isn't there, or a parameter had an
  /// incompatible distribution in an earlier trial.
  void update(int64_t trial, const TrialUpdate& added);
  /// The same for several trials, whose lines are written together.
  void update(const TrialUpdates& added);
  /// Ends a trial. A complete one has a value for each objective; if one of them is NaN, the trial
  /// is recorded as failed. A pruned one without values gets the last that it reported, unless that
  /// is NaN. Returns the recorded state; nothing if another process has ended the trial before.
  /// Throws ConfigError for another state than complete, pruned or fail, and another number of
  /// values.
  std::optional<TrialState> finish(int64_t trial, TrialState state,
                                   std::vector<double> values = {});

 private:
  Value line_of(JournalReplay::Operation operation) const;
  /// Lets a trial run or wait, if it is in the other state. Returns whether this object has done
  /// so.
  bool switch_state(int64_t trial, TrialState from, TrialState to);
  /// Lets other hosts know from now on that this process lives.
  void show_life();
  std::vector<Value> lines_of(int64_t trial, const TrialUpdate& added) const;
  /// Writes lines and reads them back; returns whether each of them had an effect.
  std::vector<bool> write(const std::vector<Value>& lines);
  void write_for_study(int64_t study, Value line);
  std::optional<int64_t> add_trial_if(int64_t study, Value line,
                                      const std::function<bool(const Study&)>& is_wanted);

  JournalFile file_;
  JournalReplay replay_;
  std::string worker_;
  std::vector<bool> own_effects_;  // of the own lines that the last refresh read
  int64_t last_created_ = -1;      // the trial that this process created last
  SilentProcesses silent_;
  std::unique_ptr<OwnerBeats> beats_;  // last: it uses the file's lock
};

}  // namespace levin
