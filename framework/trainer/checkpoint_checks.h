#pragma once

#include <filesystem>

#include <levin/framework/data/datamodule.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

// Whether a checkpoint can be used for what the Trainer is about to do. `path` is where it was read
// from; error messages name it.

/// Throws CheckpointError if training can't be resumed from `checkpoint` because it holds weights
/// only.
void require_resumable(const StateDict& checkpoint, const std::filesystem::path& path);

/// Throws CheckpointError if the checkpoint and the data both have names for the classes and these
/// differ. Class 1 of the data would then be another class than class 1 of the model, and every
/// metric would be wrong, and training would ruin the weights, without any sign of it.
void require_same_classes(const StateDict& checkpoint, DataModule& data,
                          const std::filesystem::path& path);

}  // namespace levin
