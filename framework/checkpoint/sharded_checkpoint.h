#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// This process among those that write a checkpoint together.
struct CheckpointRanks {
  int64_t rank = 0;
  int64_t world_size = 1;
  /// Gives every rank the texts of all, in their order: Strategy::gather_text.
  std::function<std::vector<std::string>(const std::string&)> gather{};
};

/// Writes a state of which each rank has a part as a folder; every rank calls it, and returns when
/// the checkpoint is whole. What isn't a slice (slices.h) is taken from rank 0.
///
///     epoch=3-step=12.ckpt/
///         rank-0.5f0c21d9.safetensors   whole tensors, values, and rank 0's slices
///         rank-1.5f0c21d9.safetensors   rank 1's slices, each with its place in its whole
///         index.json                    the names of these files and their checksum; written last
///
/// A folder without a whole index is no checkpoint; one that is written over stays whole until the
/// new index takes the old one's place. Throws CheckpointError on every rank where one fails.
void save_sharded_checkpoint(const std::filesystem::path& folder, const StateDict& state,
                             const CheckpointRanks& ranks);

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
