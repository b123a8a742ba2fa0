#pragma once

#include <filesystem>
#include <string>

#include <levin/framework/run/run_control.h>

namespace levin {

/// Returns the file or folder that `ckpt_path` stands for. That is the path itself, or the
/// checkpoint that `run` knows as "best" or "last". Whether it exists isn't checked. Throws
/// ConfigError for "best" and "last" if this Trainer has saved no such checkpoint yet.
std::filesystem::path checkpoint_path(const std::string& ckpt_path, const RunControl& run);

/// Returns the run folder that a checkpoint belongs to, which a resumed run goes on to use: the
/// parent of the `checkpoints` folder that contains it. Empty if it isn't in a folder of that name.
///
///     run_folder_of("levin_logs/version_3/checkpoints/last.ckpt");    // /.../levin_logs/version_3
std::filesystem::path run_folder_of(const std::filesystem::path& checkpoint);

/// Returns the run folder in which a fit that resumes from `checkpoint` goes on: that of the
/// checkpoint. Empty if it has none, or if `default_root_dir` is given and the checkpoint's run
/// folder isn't among those in it; then the fit makes a new run folder there. A collective.
std::filesystem::path run_folder_to_go_on_in(const std::filesystem::path& checkpoint,
                                             const std::string& default_root_dir,
                                             const RunControl& run);

}  // namespace levin
