#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace levin {

/// Returns the checkpoint that `--ckpt-path` names. A path is returned as it is, whether or not the
/// file exists.
///
/// "last" and "best" are the last and the best checkpoint of the newest run under
/// `default_root_dir`/levin_logs that has checkpoints; an empty `default_root_dir` is the current
/// folder. The newest run is the one with the highest version number. The best checkpoint is what
/// that run's ModelCheckpoint recorded as such. Throws CheckpointError if there is none.
std::string find_checkpoint(const std::string& ckpt_path,
                            const std::filesystem::path& default_root_dir);

/// The same of one run, given its folder.
std::string checkpoint_of_run(const std::string& ckpt_path, const std::filesystem::path& run);

/// Returns the folders of runs, version_0 and so on, in `root`, the one with the highest number
/// first. Empty if there are none, or no such folder.
std::vector<std::filesystem::path> run_folders(const std::filesystem::path& root);

/// Returns the checkpoint in `folder` that was written last, or an empty path if there is none. If
/// `last.ckpt` is as new as another one, it is `last.ckpt`.
std::filesystem::path newest_checkpoint(const std::filesystem::path& folder);

}  // namespace levin
