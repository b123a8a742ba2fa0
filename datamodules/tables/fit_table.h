#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <levin/datamodules/tables/column_fitter.h>
#include <levin/datamodules/tables/fit_target.h>
#include <levin/datamodules/tables/fitted_table.h>
#include <levin/datamodules/tables/settings.h>

namespace levin::tables {

/// Finds out from the training rows how a table becomes features and targets, without having all
/// rows in memory: they are given one after another.
///
///     TableFitter fitter(file.header(), {.target = "churn"}, kMostKept);
///     do {
///       TextTable table = file.header();
///       for (TableCursor cursor(rows); cursor.next(4096, table);) {
///         for (int64_t row = 0; row < table.rows(); ++row) fitter.add(table, row);
///       }
///     } while (fitter.end_pass());
///     const FittedTable fitted = fitter.finish(notes);
///
/// - A column whose cells are numbers is a number, and any other one a category, unless the
///   settings say otherwise. Missing cells don't count.
/// - What stands for a missing number is computed as by scikit-learn's SimpleImputer, a mean and
///   deviation as by its StandardScaler: the deviation is the population's, and 1 for a column
///   whose numbers are equal. They are those of the numbers with the gaps filled.
/// - The values of a category are sorted as by scikit-learn's OneHotEncoder.
///
/// One pass is enough unless there are so many numbers that a median can't be found at once, or so
/// many that come before the first text of a category.
class TableFitter {
 public:
  /// `header` is a table with the columns of the rows; its own rows aren't looked at. At most
  /// `most_kept` distinct cells of a column are kept in memory; more texts of a category, more
  /// numbers of which the most frequent one is wanted, and more targets are refused. Throws
  /// ConfigError for settings that contradict each other or the table, DataError for a name that
  /// means no column.
  TableFitter(const TextTable& header, TableSettings settings,
              size_t most_kept = std::numeric_limits<size_t>::max());
  TableFitter(const TableFitter&) = delete;
  TableFitter& operator=(const TableFitter&) = delete;

  /// Looks at a training row. Each pass must give the same ones. Throws DataError, with file, line
  /// and column, for a target that is missing or isn't the number that it must be, for a missing
  /// group, and for a weight that isn't a number of 0 or more.
  void add(const TextTable& table, int64_t row);
  /// Ends a pass; returns whether another one is needed.
  bool end_pass();
  /// Returns what was found, and adds what users should know to `notes`. To be called once. Throws
  /// DataError, with file, line and column, for cells that can't be used; DataError, naming the
  /// column, if all its cells are missing, and for more distinct ones than may be kept; ConfigError
  /// for settings that don't suit what a column holds.
  FittedTable finish(std::vector<std::string>& notes);

 private:
  std::string file_;
  TableSettings settings_;
  FittedTable fitted_;
  std::optional<TargetFitter> target_;
  std::optional<GroupFitter> groups_;
  std::optional<size_t> weights_;  // the column
  std::vector<ColumnFitter> columns_;
  std::vector<size_t> numbers_;  // of these columns in the table
  std::vector<bool> is_open_;    // whether a column needs the pass in progress
  bool is_first_pass_ = true;
};

/// The same for a table in memory. `rows` are the numbers of the training rows, from 0; no other
/// row is looked at, and their order doesn't matter. Throws what TableFitter throws.
///
///     const auto table = TextTable::read("churn.csv");
///     const FittedTable fitted = fit_table(table, rows, {.target = "churn"}, notes);
FittedTable fit_table(const TextTable& table, std::span<const int64_t> rows,
                      const TableSettings& settings, std::vector<std::string>& notes);

}  // namespace levin::tables
