#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <levin/datamodules/tables/fitted_table.h>

namespace levin::tables {

class TextTable;

/// How features are made of a table.
struct FeatureRules {
  /// What becomes of texts that aren't among the values of a category.
  UnknownRule unknown = UnknownRule::refuse;
  /// The largest feature that is allowed.
  double largest = std::numeric_limits<double>::max();
};

/// Makes features of the rows of tables with the same columns. Any number of threads may use it.
class FeatureWriter {
 public:
  /// `header` has the columns, which are found by their names; those that `fitted` doesn't have are
  /// ignored. Keeps a reference to `fitted`. Throws DataError if a column isn't there; ConfigError
  /// if `unknown` is `column`, but the training gave unknown texts no column.
  FeatureWriter(const FittedTable& fitted, const TextTable& header, FeatureRules rules);

  /// The number of features.
  int64_t width() const { return width_; }
  /// Writes the features of a row, [width]. Throws DataError, with file, line and column, for a
  /// missing cell that nothing stands for, a cell that isn't a number, a text that is refused, and
  /// a feature whose size is above `largest`.
  void write(const TextTable& table, int64_t row, double* out) const;

 private:
  const FittedTable& fitted_;
  FeatureRules rules_;
  int64_t width_;
  std::vector<size_t> places_;  // of the columns of `fitted` in the table
};

/// Reads the targets of rows of tables with the same columns. Any number of threads may use it.
class TargetReader {
 public:
  /// Keeps a reference to `fitted`. Values may be at most `largest` in size. Throws DataError if
  /// there is no column of targets.
  TargetReader(const FittedTable& fitted, const TextTable& header, double largest);

  /// The number of the row's class, or its value. Throws DataError, with file, line and column, for
  /// a target that is missing, not among the classes, no number, or too large.
  double target(const TextTable& table, int64_t row) const;

 private:
  const FittedTable& fitted_;
  double largest_;
  size_t column_;
  std::unordered_map<std::string_view, int64_t> numbers_of_names_;
};

/// Reads the groups of rows of tables with the same columns. Any number of threads may use it.
class GroupReader {
 public:
  /// Keeps a reference to `fitted`, which has groups. Throws DataError if there is no column of
  /// groups.
  GroupReader(const FittedTable& fitted, const TextTable& header);

  /// The number of the row's group. Throws DataError, with file, line and column, for a group that
  /// is missing or that no training row was in.
  int64_t group(const TextTable& table, int64_t row) const;

 private:
  const FittedTable& fitted_;
  size_t column_;
  std::unordered_map<std::string_view, int64_t> numbers_of_names_;
};

/// Returns the features of all rows of a table, row-major [rows, fitted.width()].
std::vector<double> features_of(const FittedTable& fitted, const TextTable& table,
                                UnknownRule unknown, double largest);

/// Returns the targets of all rows.
std::vector<double> targets_of(const FittedTable& fitted, const TextTable& table,
                               double largest = std::numeric_limits<double>::max());

/// Returns the groups of all rows.
std::vector<int64_t> groups_of(const FittedTable& fitted, const TextTable& table);

/// Returns the cells of the column `name` as they are.
std::vector<std::string> keys_of(const TextTable& table, const std::string& name);

/// The weight of a row, in the column number `column`. Throws DataError, with file, line and
/// column, for a cell that isn't a number of 0 or more, at most `largest`.
double weight_of(const TextTable& table, int64_t row, size_t column, double largest);

}  // namespace levin::tables
