#pragma once

namespace levin {

class Trainer;

/// Adds the callbacks and the logger that Lightning's Trainer has by default: ModelSummary,
/// ProgressBar, ModelCheckpoint and CsvLogger.
///
/// A callback is left out if the Trainer already has one of its class, and the CsvLogger is left
/// out if the Trainer has any logger. Add your own first:
///
///     levin::Trainer trainer({.max_epochs = 20});
///     trainer.add<levin::ModelCheckpoint>({.monitor = "val_loss"});
///     levin::add_defaults(trainer);
void add_defaults(Trainer& trainer);

}  // namespace levin
