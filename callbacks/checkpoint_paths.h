#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <levin/callbacks/checkpoint_name.h>
#include <levin/callbacks/model_checkpoint_options.h>

namespace levin {

class Run;

/// The paths of the files of a ModelCheckpoint: made of the pattern of its options, in its folder.
/// Unless said otherwise, every rank gets the path that rank 0 has found, and all ranks make the
/// same calls.
class CheckpointPaths {
 public:
  using Path = std::filesystem::path;

  /// `key` is that of the callback; what its ranks agree on has keys that begin with it. Throws
  /// ConfigError if the option `filename` isn't a pattern.
  CheckpointPaths(const ModelCheckpointOptions& options, std::string key);

  /// The absolute path of the folder for the files; empty before the first fit.
  const Path& folder() const { return folder_; }
  /// Takes over the folder of a resumed run, for `find_again`.
  void set_folder(const Path& folder) { folder_ = folder; }
  /// Makes the folder of this run. Throws CheckpointError if it can't be created or written to.
  void begin(Run& run);

  /// Returns the path for a checkpoint of this step. A version is added to its name if such a file
  /// exists, unless it is one of `ours`, which may be replaced. Warns of metrics that the pattern
  /// has, but that aren't logged.
  Path for_step(Run& run, const std::vector<Path>& ours) const;
  /// Returns the path for `last.ckpt`. `present` is its path so far, which may be replaced.
  Path for_last(Run& run, const Path& present) const;
  /// Returns the path for a checkpoint that is saved because of an exception. Asks no other rank.
  Path for_exception(Run& run) const;

  /// The paths of the files of a run that is resumed.
  struct Files {
    std::vector<Path> best;
    Path last;
  };
  /// Returns where these files are now: in the folder, if it was moved from `folder_before`. Paths
  /// of files that no longer exist become empty, and so does that of `last.ckpt` if it isn't in the
  /// folder. Only rank 0 looks.
  Files find_again(Run& run, const Path& folder_before, const Files& files) const;

 private:
  void warn_of_unknown(Run& run, const std::string& name) const;
  Path agreed(Run& run, const char* kind, const std::string& name,
              const std::vector<Path>& ours) const;
  Path path_for(const Run& run, const std::string& name, const std::vector<Path>& ours) const;

  std::string dirpath_;
  bool adds_versions_;
  CheckpointName name_;
  std::string key_;
  Path folder_;
};

}  // namespace levin
