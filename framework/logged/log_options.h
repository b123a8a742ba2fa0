#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include <levin/framework/core/value.h>

namespace levin {

/// Metrics by name, as returned by `Trainer::validate`, `Trainer::test` and `Run::metrics`.
using MetricMap = std::map<std::string, double, std::less<>>;
/// A number for each metric, by name: how often it has got a new value, or in which epoch.
using UpdateCounts = std::map<std::string, int64_t, std::less<>>;
/// Converts metrics to a value of a checkpoint, and back.
Value to_value(const MetricMap& metrics);
MetricMap to_metrics(const Value& object);
/// The same for counts.
Value counts_to_value(const UpdateCounts& counts);
UpdateCounts to_counts(const Value& object);

/// How the values that were logged during an epoch are combined into one. `mean` is weighted by the
/// number of rows of each batch.
enum class Reduce { mean, sum, min, max };

/// Options of `Step::log` and `Run::log`. Lightning: self.log.
///
///     step.log("val_acc", accuracy, {.prog_bar = true});
///     step.log("errors", wrong, {.on_epoch = true, .reduce = levin::Reduce::sum});
struct LogOptions {
  /// Log the value of this step, or with gradient accumulation the value of this step's batches
  /// together. The key is `name`, or `name_step` if on_epoch is set too. By default true in the
  /// hooks of a training step and false in all others.
  std::optional<bool> on_step{};
  /// Log one value for the whole epoch, combined from all batches. The key is `name`, or
  /// `name_epoch` if on_step is set too. By default the opposite of on_step's default.
  std::optional<bool> on_epoch{};
  /// How the values of an epoch are combined.
  Reduce reduce = Reduce::mean;
  /// Show the value in the progress bar.
  bool prog_bar = false;
  /// Pass the value to the loggers.
  bool logger = true;
  /// The number of rows by which a mean weights the value. By default that of the batch and, for
  /// `Run::log`, that of the rows that the rank has seen in the epoch.
  std::optional<int64_t> batch_size{};
  /// If there are several evaluation loaders, append "/dataloader_idx_i" to the key.
  bool add_dataloader_idx = true;
};

}  // namespace levin
