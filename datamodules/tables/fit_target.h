#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <levin/datamodules/readers/target_type.h>
#include <levin/datamodules/tables/fitted_table.h>
#include <levin/datamodules/tables/settings.h>
#include <levin/datamodules/tables/text_table.h>

namespace levin::tables {

/// What the targets, or the groups, of the training rows are.
struct TargetCells {
  std::map<std::string, int64_t, std::less<>> counts = {};  // of each text
  int64_t distinct = 0;                                     // how many texts there are
  int64_t numbers = 0;                                      // how many of them are numbers
  bool are_whole = true;
  std::optional<FoundCell> first_text = {};  // that is no number

  bool are_numbers() const { return !first_text; }
};

/// Finds out from the training rows what the targets are, for TableFitter.
class TargetFitter {
 public:
  /// Throws DataError if there is no column of that name.
  TargetFitter(const TextTable& header, const TableSettings& settings, size_t most_kept);

  /// Looks at a training row. Throws DataError, with file, line and column, for a missing target,
  /// and for one that isn't a number if the settings say that targets are values.
  void add(const TextTable& table, int64_t row);
  /// Sets `has_values` and `class_names` of `fitted`. Throws DataError for a text among numbers
  /// unless the settings say that the targets are classes, and for more than `most_kept` classes.
  void finish(FittedTable& fitted) const;

 private:
  std::string file_;
  size_t column_;
  readers::TargetType type_;
  size_t most_kept_;
  FittedTable missing_;
  TargetCells cells_;
  bool are_many_ = false;  // more than may be kept, so that they are no longer counted
};

/// Finds the names of the groups of the training rows, for TableFitter.
class GroupFitter {
 public:
  /// Throws DataError if there is no column of that name.
  GroupFitter(const TextTable& header, const TableSettings& settings, size_t most_kept);

  /// Looks at a training row. Throws DataError, with file, line and column, for a missing group,
  /// and for more than `most_kept` groups.
  void add(const TextTable& table, int64_t row);
  /// Sets `group` and `group_names` of `fitted`.
  void finish(FittedTable& fitted) const;

 private:
  std::string name_;
  size_t column_;
  size_t most_kept_;
  FittedTable missing_;
  TargetCells cells_;
};

/// A number for the class of each row, to split by; equal classes have equal numbers. Throws
/// DataError, with the line, for a missing target, ConfigError if the targets are values.
std::vector<int64_t> stratification_labels(const TextTable& table, const TableSettings& settings);

}  // namespace levin::tables
