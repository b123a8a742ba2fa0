#pragma once

#include <filesystem>
#include <string>

#include <levin/framework/run/run_control.h>

namespace levin {

/// The file or folder that `ckpt_path` stands for: itself, or the checkpoint that `run` knows as
/// "best" or "last". Throws ConfigError if this Trainer has saved none yet.
std::filesystem::path checkpoint_path(const std::string& ckpt_path, const RunControl& run);

/// The run folder that a checkpoint belongs to, which a resumed run goes on to use: the parent of
/// the `checkpoints` folder it lies in. Empty if it doesn't lie in such a folder.
std::filesystem::path run_folder_of(const std::filesystem::path& checkpoint);

}  // namespace levin
