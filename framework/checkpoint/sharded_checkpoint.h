#pragma once

#include <filesystem>

#include <levin/framework/core/ranks.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// Writes a state of which each rank has a part, as a folder. A collective: every rank has to call
/// it, with the same folder on a file system that all ranks share, and it returns when the
/// checkpoint is whole. Tensors that aren't slices (slices.h) and values are taken from rank 0.
///
///     epoch=3-step=12.ckpt/
///         rank-0.5f0c21d9.safetensors   whole tensors, values, and rank 0's slices
///         rank-1.5f0c21d9.safetensors   rank 1's slices, each with its place in its whole
///         index.json                    the names of these files and their checksum; written last
///
/// A folder without a whole index is no checkpoint. If the folder already holds a checkpoint, that
/// one stays whole until the new index takes the place of the old one; then its parts are removed.
/// If one rank fails to write, or the folder has an index.json that isn't a checkpoint's, all ranks
/// throw CheckpointError. Throws DistributedError if another rank is gone.
void save_sharded_checkpoint(const std::filesystem::path& folder, const StateDict& state,
                             Ranks& ranks);

/// Returns whether there is a checkpoint at `path`: a file, or a folder with an index. A folder
/// whose writing was cut short has no index. The contents aren't checked.
bool has_checkpoint(const std::filesystem::path& path);

/// Returns the state put together from all parts, as one process would have had it, on the CPU. Any
/// process can call it, for a checkpoint of any number of ranks; load_checkpoint calls it for
/// folders. Throws CheckpointError if the index is missing or damaged, or if a part is missing,
/// damaged or of another save.
StateDict load_sharded_checkpoint(const std::filesystem::path& folder);
/// Returns the outline of that state, as load_checkpoint_outline does, which calls it for folders.
StateDict load_sharded_outline(const std::filesystem::path& folder);

/// Removes a checkpoint, which is a file or a folder, whole or damaged. It is no error if there is
/// none. Other files in the folder stay, and the folder then stays too. Throws CheckpointError if a
/// file can't be removed, or if the folder has an index.json that isn't a checkpoint's, because it
/// doesn't name the members "format", "save" and "files"; nothing is removed then.
///
/// A path that was read from a file must not be passed here; see own_checkpoint.h.
void remove_checkpoint(const std::filesystem::path& path);

/// Throws CheckpointError if remove_checkpoint would leave anything of this folder.
void require_only_checkpoint(const std::filesystem::path& folder);

/// Returns the path of a checkpoint with the user's home folder in place of a `~` at its start
/// (home.h). All functions that save, load, find or remove a checkpoint begin with it.
std::filesystem::path without_tilde(const std::filesystem::path& path);

}  // namespace levin
