#pragma once

#include <filesystem>

#include <levin/framework/state_dict.h>

namespace levin {

/// Writes a state as one file: a valid safetensors file with the tensors under their names and, in
/// its metadata, the tree of values as JSON and a checksum of every byte. Tensors that share their
/// memory whole are stored once. Written under a temporary name, synced and renamed.
/// Throws CheckpointError.
void save_checkpoint(const std::filesystem::path& path, const StateDict& state);

/// Reads such a file; the tensors are on the CPU. Reads other safetensors files as well (their
/// values are empty). Throws CheckpointError for a torn, foreign or altered file.
StateDict load_checkpoint(const std::filesystem::path& path);

}  // namespace levin
