#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <levin/datamodules/readers/sparse_rows.h>

namespace levin::readers {

/// How Criteo's tables are read as sparse rows.
struct SparseCriteoOptions {
  /// Rows have 2^bits columns, from 1 to 30 bits.
  int64_t bits = 20;
  /// Whether the lines have no label, as those of Kaggle's test file: 39 cells instead of 40.
  bool skip_targets = false;
  /// How many threads parse, from 1 to 1024; the result doesn't depend on it.
  int64_t threads = 1;
  /// Called about every `threads` MiB of text; what it throws ends the reading.
  std::function<void()> while_reading{};
};

/// Reads the tables of Criteo's click logs as sparse rows. A line has 40 cells with tabs between
/// them: the label, 0 or 1; 13 whole numbers; 26 categories. Each cell makes a token, and the
/// token's MurmurHash3, cut to `bits` bits, is a column whose value is 1:
///
///     the number 100 in the third cell of numbers     "I3-21": floor(ln(100)^2)
///     the number 2, or another up to 2                 "I3-SP2"
///     the category 68fd1e64 in the fifth cell of them  "C5-68fd1e64"
///     a cell that is empty                             "I3-" or "C5-"
///
/// The tokens are those of the winners of Kaggle's challenge of 2014 (Juan, Zhuang, Chin), but rare
/// categories are kept, and values aren't scaled. Values of tokens that share a column are added.
/// Throws DataError, with file, line and cell, for a line that isn't of this form; ConfigError for
/// invalid options.
SparseRows read_sparse_criteo(const std::vector<std::filesystem::path>& files,
                              const SparseCriteoOptions& options = {});

class SparseFormat;  // sparse_text.h

/// Returns the syntax for those who parse a file in stretches. `name` is what errors call the file.
/// Throws ConfigError for invalid options.
std::unique_ptr<SparseFormat> sparse_criteo_format(const std::string& name,
                                                   const SparseCriteoOptions& options);

}  // namespace levin::readers
