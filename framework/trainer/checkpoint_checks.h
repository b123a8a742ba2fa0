#pragma once

#include <filesystem>
#include <string_view>

#include <levin/framework/data/datamodule.h>
#include <levin/framework/precision/precision.h>
#include <levin/framework/run/module.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

// Whether a checkpoint can be used for what the Trainer is about to do, and how what training has
// learned from its data gets to other data. `path` is where a checkpoint was read from; `source`,
// its path in quotes or the model, is what error messages call it.

/// Throws CheckpointError if training can't be resumed from `checkpoint` because it holds weights
/// only.
void require_resumable(const StateDict& checkpoint, const std::filesystem::path& path);

/// Throws CheckpointError if a parameter of `module`, whose layers are made, is of another
/// floating-point type than in `checkpoint`, and says by which precision that can be.
void require_same_types(const Module& module, const StateDict& checkpoint,
                        const Precision& precision);

/// Hands the fitted state of `checkpoint` to the data, whose `setup` comes next; without a
/// checkpoint (null), that which the module has. Returns this state; the module gets it only with
/// the weights. Throws CheckpointError and ConfigError with `source` in front if the data can't
/// take it.
StateDict take_over_fitted_state(const Module& module, DataModule& data,
                                 const StateDict* checkpoint, std::string_view source);

/// Makes the module remember what `data`, which it is about to be trained on, have learned. To be
/// called once nothing keeps the fit from beginning, because until then its weights are those of
/// other data.
void note_fitted_state(Module& module, DataModule& data);

/// Throws CheckpointError if the fitted state and the data both have names for the classes and
/// these differ, because the data module doesn't take names over. Class 1 of the data would then be
/// another class than class 1 of the model, and every metric would be wrong, and training would
/// ruin the weights, without any sign of it.
void require_same_classes(const StateDict& fitted, DataModule& data, std::string_view source);

}  // namespace levin
