#pragma once

#include <levin/framework/core/stage.h>
#include <levin/framework/data/datamodule.h>
#include <levin/framework/run/module.h>
#include <levin/framework/run/run_control.h>
#include <levin/framework/run/trainer_options.h>

namespace levin {

// The loaders of a stage. These functions ask the data module for them and let the module check
// what they give (Module::check_data); for a fit, the module gets ready for the training data first
// (Module::prepare). They throw DataError if the data module returns no loader
// although the stage needs one.

/// The loaders of a fit.
struct FitLoaders {
  DataLoaders train;
  DataLoaders val;  // may be empty
};

/// Returns the loaders of a fit, which don't shuffle if `options` ask for overfit_batches. If there
/// are validation data that `options` don't turn off, but the module has no validation_step, there
/// are no validation loaders, and rank 0 prints a warning.
FitLoaders fit_loaders(Module& module, DataModule& data, const TrainerOptions& options, Run& run);

/// Returns the loaders of a fit for a later epoch (reload_dataloaders_every_n_epochs), which
/// `DataModule::loader_epoch` then says. The module checks them, but doesn't get ready anew.
FitLoaders reloaded_fit_loaders(Module& module, DataModule& data, const TrainerOptions& options,
                                Run& run, int64_t epoch);

/// Returns the epoch whose loaders a fit begins with: 0, or the last one at which the fit that
/// wrote `checkpoint` asked for loaders. `checkpoint` may be null.
int64_t first_loader_epoch(const StateDict* checkpoint, const TrainerOptions& options);

/// Returns the loaders of `stage`, which is validate or test.
DataLoaders evaluation_loaders(Module& module, DataModule& data, Stage stage);

/// Returns the loaders of predict, whose rows the module doesn't check.
DataLoaders predict_loaders(DataModule& data);

/// Makes `run` show the loaders of `stage`: Run::train_dataloader and so on. `val` are those of
/// fit's validation.
void show_loaders(RunControl& run, Stage stage, DataLoaders loaders, DataLoaders val = {});

}  // namespace levin
