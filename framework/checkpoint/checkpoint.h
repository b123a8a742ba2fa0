#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// Writes a state as one file: a valid safetensors file with the tensors under their names and, in
/// its metadata, the tree of values as JSON and a checksum of every byte. Tensors that share their
/// memory whole are stored once. Written under a temporary name, synced and renamed.
/// Throws CheckpointError.
void save_checkpoint(const std::filesystem::path& path, const StateDict& state);

/// Reads such a file, or the folder of a sharded run (sharded_checkpoint.h); the tensors are on the
/// CPU. Reads other safetensors files as well (their values are empty). Throws CheckpointError for
/// a torn, foreign or altered file.
StateDict load_checkpoint(const std::filesystem::path& path);

/// The same bytes without a file, for sending a state to another process.
std::string checkpoint_bytes(const StateDict& state);
/// Reads them. Throws CheckpointError, which calls them `name`.
StateDict checkpoint_from_bytes(std::string bytes, std::string_view name = "a state received");

}  // namespace levin
