#pragma once

#include <filesystem>

namespace levin {

/// Returns whether there is a checkpoint at `path`, a file or a folder with an index, and whether
/// it really lies inside `folder`: symbolic links and `..` are followed in both paths before they
/// are compared. False if either doesn't exist.
///
/// A path that was read from a file (a checkpoint's state, a restart record) must pass this before
/// anything is written or removed there: whoever wrote the file may have written any path.
bool is_checkpoint_in(const std::filesystem::path& folder, const std::filesystem::path& path);

/// Removes the checkpoint at `path` if `is_checkpoint_in(folder, path)`; leaves everything as it is
/// if not. Returns whether it was removed. Throws CheckpointError if a file can't be removed.
bool remove_checkpoint_in(const std::filesystem::path& folder, const std::filesystem::path& path);

}  // namespace levin
