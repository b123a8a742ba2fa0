#pragma once

#include <filesystem>

#include <levin/framework/core/ranks.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// Writes a state of which each rank has a part, as a folder. Every rank calls it, and it returns
/// when the checkpoint is whole. What isn't a slice (slices.h) is taken from rank 0.
///
///     epoch=3-step=12.ckpt/
///         rank-0.5f0c21d9.safetensors   whole tensors, values, and rank 0's slices
///         rank-1.5f0c21d9.safetensors   rank 1's slices, each with its place in its whole
///         index.json                    the names of these files and their checksum; written last
///
/// A folder without a whole index is no checkpoint. A checkpoint that is written over stays whole
/// until the new index takes the place of the old one. If one rank fails, all ranks throw
/// CheckpointError.
void save_sharded_checkpoint(const std::filesystem::path& folder, const StateDict& state,
                             Ranks& ranks);

/// Whether `path` can be loaded as far as its names tell: a file, or a folder with an index. One
/// whose writing was cut short has none.
bool has_checkpoint(const std::filesystem::path& path);

/// The state as one process would have had it; load_checkpoint calls this for folders. Throws
/// CheckpointError for an index that is torn or missing, and for a part that is missing, damaged or
/// of another save.
StateDict load_sharded_checkpoint(const std::filesystem::path& folder);

/// Removes a checkpoint, file or folder; one that isn't there is no error. Other files in the
/// folder stay. Throws CheckpointError.
void remove_checkpoint(const std::filesystem::path& path);

}  // namespace levin
