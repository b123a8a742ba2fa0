#pragma once

#include <filesystem>
#include <string>

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

}  // namespace levin
