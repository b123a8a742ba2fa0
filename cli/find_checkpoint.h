#pragma once

#include <filesystem>
#include <string>

namespace levin {

/// The checkpoint that `--ckpt-path` names: a path as it is, "last" and "best" those of the newest
/// run under `default_root_dir` ("" is the current folder) that has checkpoints. Throws
/// CheckpointError where there is none.
std::string find_checkpoint(const std::string& ckpt_path,
                            const std::filesystem::path& default_root_dir);

}  // namespace levin
