#pragma once

#include <cstdint>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include <levin/callbacks/best_checkpoints.h>
#include <levin/callbacks/checkpoint_name.h>
#include <levin/callbacks/model_checkpoint_options.h>
#include <levin/framework/run/run.h>

namespace levin {

/// The files of a ModelCheckpoint: the best checkpoints and `last.ckpt`. This class chooses their
/// paths, requests them of the run, together with what they replace, and finds them again in a
/// resumed run. When to save, and with which score, is up to the callback.
///
///     files.begin(run, /*resumed=*/false);                       // in on_fit_start
///     if (!files.has_top_of(run)) files.save_top(run, score);
///     files.save_last(run);
///
/// All ranks make the same calls.
class KeptCheckpoints {
 public:
  /// In `dirpath`, the home folder is spelled out. `key` is that of the callback; what its ranks
  /// agree on has keys that begin with it. Throws ConfigError if the option `filename` isn't a
  /// pattern.
  KeptCheckpoints(ModelCheckpointOptions options, std::string key);

  const BestCheckpoints& best() const { return best_; }
  /// The path of `last.ckpt`; empty until it is first written.
  const std::filesystem::path& last_path() const { return last_path_; }
  /// The absolute path of the folder for the files; empty before the first fit.
  const std::filesystem::path& folder() const { return folder_; }

  /// Makes the folder. A resumed run goes on with the files that are still there, even if the
  /// folder was moved; any other begins with none. Throws CheckpointError if the folder can't be
  /// created or written to.
  void begin(Run& run, bool resumed);

  /// Whether no checkpoint of this step can come to be among the best: there is one, or none is
  /// kept.
  bool has_top_of(const Run& run) const;
  /// Saves a checkpoint among the best.
  void save_top(Run& run, double score);
  /// Saves `last.ckpt` if the options want it and it isn't of this step already.
  void save_last(Run& run);
  /// Whether `last.ckpt` was written in this fit.
  bool has_last() const { return last_step_ >= 0; }
  /// Saves a checkpoint because `error` ends training.
  void save_exception(Run& run, const std::exception& error);

  /// Puts what a resumed run has to know into a callback's state, and takes it from there.
  void save_to(Value& values) const;
  void load_from(const Value& values);

 private:
  /// Warns of metrics that the pattern of the file names has, but that aren't logged.
  void warn_of_unknown(Run& run, const std::string& name) const;
  /// Notes that `last.ckpt` gets the state of this step, and chooses its path.
  void take_last(Run& run);
  /// Returns a path for a file called `name`. A version is added to the name if such a file exists,
  /// unless it is one of `ours`, which may be replaced. agreed_path gives every rank the path that
  /// rank 0 found; `kind` distinguishes calls about different files.
  std::filesystem::path agreed_path(Run& run, const char* kind, const std::string& name,
                                    const std::vector<std::filesystem::path>& ours) const;
  std::filesystem::path path_for(const Run& run, const std::string& name,
                                 const std::vector<std::filesystem::path>& ours) const;
  void request(Run& run, const std::filesystem::path& path, SaveOptions save_options);
  /// Updates the paths if the run's folder was moved, and drops those of files that no longer
  /// exist. Only rank 0 looks; the other ranks get what it has found.
  void find_again(Run& run, const std::filesystem::path& folder_before);
  /// Tells the run what `ckpt_path = "best"` and `"last"` mean from now on.
  void tell(Run& run) const;

  ModelCheckpointOptions options_;
  std::string key_;
  CheckpointName name_;
  BestCheckpoints best_;
  std::filesystem::path folder_;
  std::filesystem::path last_path_;
  int64_t top_step_ = -1;   // the step at which save_top last saved
  int64_t last_step_ = -1;  // the step at which save_last last saved
};

}  // namespace levin
