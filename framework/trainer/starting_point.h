#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include <levin/framework/core/stage.h>
#include <levin/framework/data/datamodule.h>
#include <levin/framework/loops/hook_list.h>
#include <levin/framework/precision/precision.h>
#include <levin/framework/profiling/profiler.h>
#include <levin/framework/run/module.h>
#include <levin/framework/run/run_control.h>
#include <levin/framework/strategies/strategy.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// The checkpoint that a stage begins with, and where it was read from. A stage that begins without
/// a checkpoint has none.
struct StartingPoint {
  std::filesystem::path path;
  StateDict state;
};

/// Reads the checkpoint that `ckpt_path` stands for (see checkpoint_path); none if that is empty.
/// `profiler` is null if nothing is measured. Throws ConfigError and CheckpointError.
std::optional<StartingPoint> read_starting_point(const std::string& ckpt_path,
                                                 const RunControl& run, Profiler* profiler);

/// Lets the data module prepare its data, once on each host or, without `per_node`, on rank 0
/// alone. Returns when that is done; all ranks have to call this.
void prepare_data(Strategy& strategy, DataModule& data, bool per_node);

/// Tells the data module in which type the run reads numbers, lets it prepare its data
/// (`prepare_data`) and set them up for `stage`; rank 0
/// prints the notes that it makes. Except in a fit that begins without a checkpoint, the data
/// module first gets the fitted state of the data that the module was trained on, which is in the
/// checkpoint or, without one, in the module (see take_over_fitted_state). Throws CheckpointError
/// and ConfigError if the data can't take it or have other classes. All ranks have to call this.
void set_up_data(Strategy& strategy, const Module& module, DataModule& data, Stage stage,
                 const Precision& precision, const std::optional<StartingPoint>& start,
                 bool prepares_per_node);

/// Loads the module's weights for a stage that doesn't train, and what its data had learned, after
/// it has called on_load_checkpoint. Warns if the module was made with other settings. Layers that
/// the module makes only now are converted to `precision`. Throws CheckpointError, which names the
/// file, if the weights aren't those of such a module.
void load_weights(Module& module, const StartingPoint& start, const HookList& hooks,
                  const Precision& precision, RunControl& run);

}  // namespace levin
