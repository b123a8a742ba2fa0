#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace levin {

/// The base class of all exceptions that Levin throws. The classes below are the only ones derived
/// from it. The class of an exception says where the mistake lies.
///
///     try {
///       trainer.fit(model, data);
///     } catch (const levin::DataError& error) {
///       std::cerr << "check your files: " << error.what() << "\n";
///     }
///
/// A message says what is wrong, names the value, and says what to do about it. The static
/// functions of the classes make exceptions with the common messages. Exceptions of LibTorch keep
/// their class, which isn't one of these; the step, epoch and rank are added to their text. To
/// catch all of them, catch std::exception.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// An option, a command line or a YAML file is wrong. The `levin` program then exits with status 2,
/// and with status 1 for all other exceptions.
class ConfigError : public Error {
 public:
  using Error::Error;

  /// An option has a value that it can't have: `batch_size = -3: must be at least 1`.
  static ConfigError invalid_value(std::string_view option, std::string_view value,
                                   std::string_view requirement);
  /// A name isn't among those known: `unknown key 'lr'; the known ones are: ...`, or `did you
  /// mean ...?` if one of them is near. `kind` says what is named: "key", "class". `where`, if
  /// given, comes first.
  static ConfigError unknown_name(std::string_view kind, std::string_view name,
                                  const std::vector<std::string>& known,
                                  std::string_view where = {});
  /// Two options exclude each other, or one needs another; `hint` says what to change.
  static ConfigError conflict(std::string_view what, std::string_view hint);
  /// This machine doesn't have the device: `no such device: cuda:1; this machine has: cpu`.
  static ConfigError no_such_device(std::string_view device, std::string_view available);
};

/// An array, a file or a data set can't be trained on.
class DataError : public Error {
 public:
  using Error::Error;

  /// Two tensors of one data set have different numbers of rows.
  static DataError rows_differ(std::string_view a, int64_t rows_a, std::string_view b,
                               int64_t rows_b);
  /// `what` holds no rows, or nothing at all: `a.csv is empty; <hint>`.
  static DataError empty(std::string_view what, std::string_view hint);
  /// A value can't be used: NaN, infinity, a label out of range. `where` names the file or tensor
  /// and the row: `y, row 3: the class is 10; there are 10 classes, so it must be from 0 to 9`.
  static DataError bad_value(std::string_view what, std::string_view value, std::string_view where,
                             std::string_view hint);
  /// No tensor of a batch or file has the name; the message lists those there are.
  static DataError no_such_tensor(std::string_view name, const std::vector<std::string>& known);
  /// A data set of `size` rows has no row `row`; `hint` says what to do. `row 7 was asked for, but
  /// the data set has rows 0 to 4; check the sampler`.
  static DataError no_such_row(int64_t row, int64_t size, std::string_view hint);
  /// A data set returned another number of rows than it was asked for, or a stream returned more.
  static DataError wrong_row_count(int64_t asked, int64_t given);
  /// A file can't be opened or read.
  static DataError unreadable(std::string_view path, std::string_view reason);
  /// A file breaks the rules of its format: it is truncated, or its magic number or checksum is
  /// wrong.
  static DataError corrupt(std::string_view path, std::string_view reason);
};

/// A checkpoint or a run's folder can't be written, read or applied.
class CheckpointError : public Error {
 public:
  using Error::Error;

  /// The system refuses to read or write a file or folder. `action`: "open", "write" ...
  static CheckpointError io(std::string_view action, std::string_view path,
                            std::string_view reason);
  /// A file isn't a whole checkpoint: it is torn, of another format, or its checksum is wrong.
  static CheckpointError corrupt(std::string_view path, std::string_view reason);
  /// A checkpoint, or a part of one, can't be used here, for example because it belongs to another
  /// model: `'a.ckpt' doesn't fit these data:`, followed by up to ten problems, each on a line of
  /// its own. `what` and `verdict` are the subject and the rest of that sentence.
  static CheckpointError mismatch(std::string_view what, const std::vector<std::string>& problems,
                                  std::string_view verdict = "doesn't fit");
};

/// A rank failed, can't be reached, or disagrees with the others.
class DistributedError : public Error {
 public:
  using Error::Error;
};

/// A module, callback or hook does what it must not: `training_step` returns no scalar, a monitor
/// was never logged, `log` is called in a hook that doesn't allow it.
class ModuleError : public Error {
 public:
  using Error::Error;

  /// A callback, scheduler or function (`who`) needs a metric that wasn't logged; the message lists
  /// those that were, and names the nearest.
  static ModuleError metric_not_logged(std::string_view who, std::string_view monitor,
                                       const std::vector<std::string>& logged);
  /// A hook returned or did what it must not; `hint` says what it should do.
  static ModuleError contract(std::string_view hook, std::string_view problem,
                              std::string_view hint);
};

/// Returns a text as messages quote it. A text of more than `most` bytes, which a file may hold, is
/// cut, and "... (16777216 bytes)" says so.
std::string shortened(std::string_view text, size_t most = 300);

/// The name among `known` that is the fewest edits away from `name`, or "" if none is near. Near is
/// a Levenshtein distance of at most 2, or at most a third of the length if that is more. If none
/// is near, it is the only name that begins with `name`, of at least three characters, in small or
/// capital letters.
std::string nearest_name(std::string_view name, const std::vector<std::string>& known);

}  // namespace levin
