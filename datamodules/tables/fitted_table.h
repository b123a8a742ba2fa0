#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <levin/datamodules/tables/settings.h>
#include <levin/framework/core/value.h>

namespace levin::tables {

/// How the cells of one column become features, with what was found in the training rows.
struct FittedColumn {
  enum class Kind { number, one_hot, hashed };

  std::string name = {};
  Kind kind = Kind::number;
  /// A number x becomes (x - mean) / scale. 0 and 1 if numbers aren't standardized.
  double mean = 0.0;
  double scale = 1.0;
  /// What stands for a missing number; empty if it is refused.
  std::optional<double> fill = {};
  /// Whether the feature behind the number says if the cell was missing (1) or not (0).
  bool has_indicator = false;
  /// The texts that have a feature each, in the order of their bytes.
  std::vector<std::string> values = {};
  /// What stands for a missing text; empty if there is nothing.
  std::optional<std::string> fill_text = {};
  /// Whether missing texts are a value of their own: the feature behind those of `values`, or for a
  /// hashed column the empty text.
  bool missing_is_value = false;
  /// Whether missing texts are refused, whatever becomes of other unknown values.
  bool missing_is_refused = false;
  /// Whether the last feature of the column is for texts that aren't among `values`.
  bool has_unknown = false;
  /// Into how many features texts are hashed.
  int64_t hash_columns = 0;

  bool operator==(const FittedColumn&) const = default;
  /// The number of features that the column becomes.
  int64_t width() const;
};

/// Everything that turns a table into features and targets, and was found in the training rows. A
/// plain value, which checkpoints hold; `fit_table` makes it, `features_of` and `targets_of` apply
/// it to files whose columns may be in any order.
///
/// Features are in the order of `columns`. A number is one feature, or two with an indicator; a
/// category has one for each value.
struct FittedTable {
  std::vector<FittedColumn> columns = {};
  /// Cells that count as missing.
  std::vector<std::string> missing_values = {};
  UnknownRule unknown = UnknownRule::refuse;
  /// The columns of targets and keys; empty if there is none.
  std::string target = {};
  std::string key = {};
  /// Whether targets are numbers, instead of classes.
  bool has_values = false;
  /// The names of the classes, in the order in which they are numbered: that of numbers if all of
  /// them are, else that of their bytes.
  std::vector<std::string> class_names = {};
  /// The column of the groups of rows, and their names, ordered as those of classes; empty if there
  /// are no groups.
  std::string group = {};
  std::vector<std::string> group_names = {};

  bool operator==(const FittedTable&) const = default;
  /// The number of features.
  int64_t width() const;
  /// A name for each feature: "age", "age missing", "plan=basic", "plan missing", "plan unknown",
  /// "city#3".
  std::vector<std::string> feature_names() const;
  bool is_missing(std::string_view cell) const;
};

/// The same as a plain value for a checkpoint, and back. Throws CheckpointError if the value isn't
/// of the form that `to_value` returns.
Value to_value(const FittedTable& table);
FittedTable fitted_table_from(const Value& value);

}  // namespace levin::tables
