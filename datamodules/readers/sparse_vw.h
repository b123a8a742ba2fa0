#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <levin/datamodules/readers/sparse_rows.h>

namespace levin::readers {

/// How text in the format of Vowpal Wabbit is read as sparse rows.
struct SparseVwOptions {
  /// Rows have 2^bits columns, from 1 to 30 bits (-b).
  int64_t bits = 18;
  /// Pairs of namespaces, each by the first letters of the two, such as "ab": rows get the product
  /// of each feature of the one and each feature of the other (-q). In a pair of a letter with
  /// itself, each two features come once, and each feature with itself.
  std::vector<std::string> quadratic = {};
  /// Whether each row gets the constant feature, as in Vowpal Wabbit unless --noconstant is given.
  /// Levin's linear models have an intercept, which takes its place.
  bool constant = false;
  /// Whether features whose names are numbers are hashed like others (--hash all).
  bool hash_all = false;
  /// What the hashes of namespaces start with (--hash_seed).
  uint32_t hash_seed = 0;
  /// Whether labels are left out, so that lines without one can be read.
  bool skip_targets = false;
  /// Whether targets of -1 stay -1; see SparseLibsvmOptions.
  bool keep_signs = false;
  /// How many threads parse, from 1 to 1024; the result doesn't depend on it.
  int64_t threads = 1;
  /// Called about every `threads` MiB of text; what it throws ends the reading.
  std::function<void()> while_reading{};
};

/// Reads files in Vowpal Wabbit's format as sparse rows, with the columns that it gives features
/// with these options. A line is "label importance tag|space feature:value ... |space ...", of
/// which importance, tag, the names of namespaces and values may be left out; a value may be a
/// text, which is then a part of the name, and a namespace may have a factor ("|space:0.5"). Of the
/// features of a row that share a column, the values are added. Lines without a word are skipped.
///
/// What Vowpal Wabbit accepts but reads in part, or as something else than it looks like, is
/// refused: values such as "12a" and "nan", a label that touches the bar, a tab in front of it, and
/// the third number of a label unless it is 0. Throws DataError, with file and line, for these and
/// for a line without a bar; ConfigError for invalid options.
SparseRows read_sparse_vw(const std::vector<std::filesystem::path>& files,
                          const SparseVwOptions& options = {});

class SparseFormat;  // sparse_text.h

/// Returns the syntax for those who parse a file in stretches. `name` is what errors call the file;
/// the format refers to `options`. Throws ConfigError for invalid options.
std::unique_ptr<SparseFormat> sparse_vw_format(const std::string& name,
                                               const SparseVwOptions& options);

}  // namespace levin::readers
