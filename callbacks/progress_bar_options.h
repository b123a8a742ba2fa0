#pragma once

#include <cstdint>

#include <levin/framework/core/options.h>

namespace levin {

/// Options of ProgressBar.
struct ProgressBarOptions {
  /// The number of batches after which the callback looks at the clock to see whether a new line is
  /// due. 0 switches the progress bar off. Lightning: refresh_rate.
  int64_t refresh_rate = 1;
  /// On a terminal, the least time in seconds between two updates of the line.
  double refresh_interval = 0.1;
  /// In a file, the time in seconds between two lines within an epoch. 0 writes only one line for
  /// each epoch.
  double plain_interval = 10.0;
  /// On a terminal, keep the last line of each epoch instead of overwriting it with the next
  /// epoch's.
  bool leave = false;
};

/// Describes the options for YAML files and `--help`.
Fields describe(ProgressBarOptions& options);
/// Throws ConfigError if `refresh_rate` is negative.
void validate(const ProgressBarOptions& options);

}  // namespace levin
