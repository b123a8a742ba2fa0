#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/core/error.h>
#include <levin/framework/core/value.h>

/// How the columns of several CSV files find each other: by their names if both files have a
/// header, else by their places.
namespace levin::readers {

/// The columns of one CSV file, which those of other files are compared with.
struct CsvLayout {
  /// What errors call the file.
  std::string file = {};
  /// The names of all columns in the file's order, the target's among them; empty if the file has
  /// no header.
  std::vector<std::string> names = {};
  /// The place of the target column; empty if there is none.
  std::optional<size_t> target = {};

  /// Whether the file holds one column, the target, whose name then needn't match another's.
  bool is_target_alone() const { return names.size() == 1 && target == size_t{0}; }
};

/// Whether two files have the same names in the same order, and the same target.
bool same_columns(const std::optional<CsvLayout>& a, const std::optional<CsvLayout>& b);

/// A layout as a plain value for a checkpoint, and back. Throws CheckpointError if the value isn't
/// of the form that `to_value` returns.
Value to_value(const CsvLayout& layout);
CsvLayout layout_from(const Value& value);

/// Where the cells of a row go.
struct ColumnPlaces {
  /// Stand in `places` for the target column, and for a column that isn't used.
  static constexpr int64_t kTarget = -1;
  static constexpr int64_t kUnused = -2;

  /// For each column of the file, the number of the feature from 0, or one of the constants.
  std::vector<int64_t> places = {};
  /// The names of the features, in the order of their numbers. Without a header they are
  /// "column_0", "column_1" ..., by their places in the file.
  std::vector<std::string> features = {};
  /// The column of the target; empty if the file has none.
  std::optional<size_t> target = {};
};

/// Throws DataError if the features of a file whose columns can't be reordered aren't those of
/// `first` in the same order, or if both have a target and its name differs. Nothing is checked if
/// one of them has no names.
void require_same_order(const CsvLayout& file, const CsvLayout& first);

/// Numbers all columns but the target in the order in which the file has them. `columns` are the
/// names of all columns.
ColumnPlaces places_in_order(const std::vector<std::string>& columns, std::optional<size_t> target);

/// Numbers the columns of `file` as the file `first` has them, by their names. Both must have
/// names. Throws DataError, with the name, for a column that only one of the files has, and if a
/// name that is needed occurs twice. A column that only `file` has is left out instead if
/// `ignore_extra` is true, and if the target is missing, the file has none if `target_optional` is
/// true.
ColumnPlaces places_by_name(const CsvLayout& file, const CsvLayout& first, bool ignore_extra,
                            bool target_optional);

/// The error for a file of features that holds nothing but its target, or that seems to, because
/// its cells are separated by something else.
DataError no_features(const std::string& file);

/// Says that some of several files have a header and others have none, so that the columns of
/// `files` are those of `first` by their places; a sentence for the user.
std::string taken_in_order(const std::vector<std::string>& files, const CsvLayout& first);

/// Whether `name` is a number of a column, such as "0" or "-1", rather than a name.
bool is_column_number(const std::string& name);

/// Writes names as messages show them: "'a', 'b', 'c' and 4 more".
std::string listed(const std::vector<std::string>& names, size_t most = 20);

}  // namespace levin::readers
