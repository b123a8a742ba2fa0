#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace levin {

class Run;

// The files of ModelCheckpoint in its folder.

/// Returns the absolute path of a folder, without "." and ".." and without a slash at its end.
std::filesystem::path plain_folder(const std::filesystem::path& folder);

/// Whether the path, links followed, is a checkpoint in the folder. Only such a file may be
/// replaced or removed: paths may come from a file that anybody may have written.
bool is_checkpoint_of_folder(const std::filesystem::path& folder,
                             const std::filesystem::path& path);

/// Whether a file is no longer there. False if the path is empty, or if that can't be found out.
bool is_gone(const std::filesystem::path& path);

/// Returns the path in the folder for a new file called `name`, without extension. "-v1", "-v2" and
/// so on are added to the name if such a file exists or was requested of the run in this step,
/// unless it is one of `ours`, which may be replaced.
std::filesystem::path free_checkpoint_path(const Run& run, const std::filesystem::path& folder,
                                           const std::string& name,
                                           const std::vector<std::filesystem::path>& ours);
/// Returns the path for a file called `name`, whether or not it exists.
std::filesystem::path checkpoint_path(const std::filesystem::path& folder, const std::string& name);

/// Returns where a checkpoint is now that was at `path` when the folder was `folder_before`: in the
/// folder, if it was moved, otherwise where it was. Empty if there is none.
std::filesystem::path find_checkpoint_again(const std::filesystem::path& path,
                                            const std::filesystem::path& folder_before,
                                            const std::filesystem::path& folder);

}  // namespace levin
