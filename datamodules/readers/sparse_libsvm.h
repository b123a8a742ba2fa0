#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <levin/datamodules/readers/sparse_rows.h>

namespace levin::readers {

/// How libsvm text is read as sparse rows.
struct SparseLibsvmOptions {
  /// The number of columns; 0 takes the highest index in all files.
  int64_t num_features = 0;
  /// Whether features are numbered from 0 or from 1. If it isn't given, it is found out as
  /// scikit-learn does: from 1 if no index in any of the files is 0.
  std::optional<bool> zero_based = {};
  /// Whether the indices of a line may be in any order and may be repeated. They are then sorted,
  /// and values of the same index are added. Else such lines are refused.
  bool sort_indices = false;
  /// Whether the numbers of queries ("qid:3" behind the label) are kept. Every line must then have
  /// one. Else they are skipped.
  bool keep_qids = false;
  /// Whether targets of -1 stay -1. Else they stand for class 0 if all targets are whole numbers
  /// and none of them is 0.
  bool keep_signs = false;
  /// Where `read_sparse_libsvm` stores whether features were numbered from 0; null: nowhere.
  bool* found_zero_based = nullptr;
  /// How many threads parse, from 1 to 1024; the result doesn't depend on it.
  int64_t threads = 1;
  /// Called about every `threads` MiB of text; what it throws ends the reading.
  std::function<void()> while_reading{};
};

/// Reads libsvm files, one after another, as sparse rows. A line is "label index:value index:value
/// ...", where indices rise and values are finite. What follows a '#' is a comment; lines end in
/// LF, CRLF or CR, and lines without a word are skipped. Entries with the value 0 are kept, as
/// scikit-learn keeps them.
///
///     const SparseRows rows = read_sparse_libsvm({"train.svm"}, {.zero_based = false});
///
/// While it reads, it takes the memory of the rows and about 2 MiB for each thread. Throws
/// ConfigError for invalid options; DataError, with file and line, for text that breaks these
/// rules, for an index that is negative, above 2^31 - 1 or beyond `num_features`, and for several
/// labels in a line; and if there are no rows, or no features and no `num_features`.
SparseRows read_sparse_libsvm(const std::vector<std::filesystem::path>& files,
                              const SparseLibsvmOptions& options = {});

class SparseFormat;  // sparse_text.h

/// Returns the syntax for those who parse a file in stretches. `name` is what errors call the file.
/// `zero_based` and `num_features` must be given; the format refers to `options`. Throws
/// ConfigError for invalid options.
std::unique_ptr<SparseFormat> sparse_libsvm_format(const std::string& name,
                                                   const SparseLibsvmOptions& options);

}  // namespace levin::readers
