#pragma once

#include <cstdint>
#include <exception>
#include <filesystem>
#include <string>

#include <levin/callbacks/best_checkpoints.h>
#include <levin/callbacks/checkpoint_paths.h>
#include <levin/callbacks/model_checkpoint_options.h>
#include <levin/framework/run/run.h>

namespace levin {

/// The files of a ModelCheckpoint: the best checkpoints and `last.ckpt`. This class requests them
/// of the run, together with what they replace, and finds them again in a resumed run. When to
/// save, and with which score, is up to the callback.
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
  const std::filesystem::path& folder() const { return paths_.folder(); }

  /// Makes the folder. A resumed run goes on with the files that are still there, even if the
  /// folder was moved; any other begins with none. Throws CheckpointError if the folder can't be
  /// created or written to.
  void begin(Run& run, bool resumed);

  /// Whether no checkpoint of this step can come to be among the best: there is one, or none is
  /// kept.
  bool has_top_of(const Run& run) const;
  /// Saves a checkpoint if its score is among the best.
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
  /// Notes that `last.ckpt` gets the state of this step, and chooses its path.
  void take_last(Run& run);
  void request(Run& run, const std::filesystem::path& path, SaveOptions save_options);
  /// Tells the run what `ckpt_path = "best"` and `"last"` mean from now on.
  void tell(Run& run) const;

  ModelCheckpointOptions options_;
  CheckpointPaths paths_;
  BestCheckpoints best_;
  std::filesystem::path last_path_;
  int64_t top_step_ = -1;   // the step at which save_top last saved
  int64_t last_step_ = -1;  // the step at which save_last last saved
};

}  // namespace levin
