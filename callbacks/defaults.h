#pragma once

namespace levin {

class Trainer;

/// Adds what Lightning's Trainer has by default: a ProgressBar, a ModelSummary, a ModelCheckpoint
/// and a CsvLogger, each unless one of its kind (any logger) was added already.
void add_defaults(Trainer& trainer);

}  // namespace levin
