#pragma once

#include <filesystem>

#include <levin/framework/tensor/tensor.h>

namespace levin {

/// Refuses, before any work, a path that predictions can't be written to: makes its folder. Throws
/// ConfigError for an extension other than .npz and .npy, CheckpointError for the folder.
void check_output(const std::filesystem::path& path);

/// Writes what `predict` returned as the arrays of a .npz, or, where there is only one, as a .npy.
/// bfloat16 becomes float32. Throws ConfigError where several are to go into a .npy.
void write_predictions(const std::filesystem::path& path, const NamedTensors& predictions);

}  // namespace levin
