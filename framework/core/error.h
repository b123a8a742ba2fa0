#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace levin {

/// What every failure of Levin's own derives from; the closed set below says whose mistake it was.
///
/// A message says what is wrong, with the value, and what to do about it. LibTorch's errors are not
/// wrapped in these: they pass through with the step, epoch and rank added.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Wrong options, command lines or YAML. The `levin` program exits with status 2.
class ConfigError : public Error {
 public:
  using Error::Error;

  /// A value that an option can't take: `batch_size = -3: must be at least 1`.
  static ConfigError invalid_value(std::string_view option, std::string_view value,
                                   std::string_view requirement);
  /// A name that isn't among those known; names the nearest one. `kind` is "key", "class" ...
  static ConfigError unknown_name(std::string_view kind, std::string_view name,
                                  const std::vector<std::string>& known,
                                  std::string_view where = {});
  /// Two options that exclude each other, or one that needs another.
  static ConfigError conflict(std::string_view what, std::string_view hint);
  /// A device that isn't there: `accelerator = cuda: this machine has no such device`.
  static ConfigError no_such_device(std::string_view device, std::string_view available);
};

/// Arrays, files and data sets that can't be trained on.
class DataError : public Error {
 public:
  using Error::Error;

  /// Tensors of one data set whose first sizes differ.
  static DataError rows_differ(std::string_view a, int64_t rows_a, std::string_view b,
                               int64_t rows_b);
  /// Nothing to work on: no rows, or a split that leaves a set empty.
  static DataError empty(std::string_view what, std::string_view hint);
  /// NaN, infinity, a label out of range or of a wrong type; `where` names the row.
  static DataError bad_value(std::string_view what, std::string_view value, std::string_view where,
                             std::string_view hint);
  /// A name that no tensor of a batch or file has; lists those there are.
  static DataError no_such_tensor(std::string_view name, const std::vector<std::string>& known);
  /// A data set that gave another number of rows than it was asked for.
  static DataError wrong_row_count(int64_t asked, int64_t given);
  /// A file that can't be opened or read.
  static DataError unreadable(std::string_view path, std::string_view reason);
  /// A file that isn't what its format says: truncated, a wrong magic number, a wrong checksum.
  static DataError corrupt(std::string_view path, std::string_view reason);
};

/// Checkpoints and run folders that can't be written, read or applied.
class CheckpointError : public Error {
 public:
  using Error::Error;

  /// A file or folder that can't be written or read.
  static CheckpointError io(std::string_view action, std::string_view path,
                            std::string_view reason);
  /// A file that isn't a whole checkpoint: torn, foreign, or a checksum that doesn't match.
  static CheckpointError corrupt(std::string_view path, std::string_view reason);
  /// A checkpoint of another model or optimizer; lists what is missing, unexpected or misshapen.
  static CheckpointError mismatch(std::string_view what, const std::vector<std::string>& problems);
};

/// Ranks that fail, disagree or can't be reached.
class DistributedError : public Error {
 public:
  using Error::Error;
};

/// A model, callback or hook that breaks its contract: `training_step` returning no scalar, a
/// monitor nobody logged, `log` called where it isn't allowed.
class ModuleError : public Error {
 public:
  using Error::Error;

  /// A metric a callback or scheduler watches, but nobody logged; lists those that were.
  static ModuleError metric_not_logged(std::string_view who, std::string_view monitor,
                                       const std::vector<std::string>& logged);
  /// A hook that returned or did what it must not.
  static ModuleError contract(std::string_view hook, std::string_view problem,
                              std::string_view hint);
};

/// The name among `known` that is the fewest edits away, or "" where none is near (Levenshtein
/// distance at most a third of the length, at least 2).
std::string nearest_name(std::string_view name, const std::vector<std::string>& known);

}  // namespace levin
