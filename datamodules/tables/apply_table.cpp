#include <levin/datamodules/tables/apply_table.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <unordered_map>

#include <fmt/format.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/csv_columns.h>
#include <levin/datamodules/tables/cell_errors.h>
#include <levin/datamodules/tables/hashed_place.h>
#include <levin/datamodules/tables/text_table.h>
#include <levin/framework/core/error.h>

namespace levin::tables {
namespace {

using readers::in_quotes;

/// Writes the features that one column becomes into a matrix of zeros.
class ColumnWriter {
 public:
  ColumnWriter(const FittedTable& fitted, const FittedColumn& column, const TextTable& table,
               UnknownRule unknown, double largest)
      : fitted_(fitted),
        column_(column),
        table_(table),
        unknown_(unknown),
        largest_(largest),
        place_(table.column(column.name, "a feature of the training data")) {}

  /// `out` is the first feature of the column.
  void write(int64_t row, double* out) const {
    const auto cell = table_.cell(row, place_);
    const bool is_missing = fitted_.is_missing(cell);
    if (column_.kind == FittedColumn::Kind::number) return write_number(row, cell, is_missing, out);
    if (column_.kind == FittedColumn::Kind::one_hot) return write_text(row, cell, is_missing, out);
    const auto text = is_missing ? filling_text(row) : cell;
    out[hashed_place(text, column_.hash_columns)] = 1.0;
  }

 private:
  void write_number(int64_t row, std::string_view cell, bool is_missing, double* out) const {
    double number = 0.0;
    if (is_missing) {
      if (!column_.fill) {
        throw missing_cell(table_, row, place_, "mean, median, most_frequent or a number");
      }
      number = *column_.fill;
    } else if (!finite_number(cell, number)) {
      throw no_number(table_, row, place_, true);
    }
    out[0] = (number - column_.mean) / column_.scale;
    if (column_.has_indicator) out[1] = is_missing ? 1.0 : 0.0;
    if (std::abs(out[0]) <= largest_) return;
    throw DataError::bad_value("the cell", in_quotes(cell), table_.place(row, place_),
                               fmt::format("the feature it becomes is {}, but can be at most {} in "
                                           "size. Correct the cell, or set dtype = float64.",
                                           out[0], largest_));
  }

  /// What stands for a missing text in a hashed column.
  std::string_view filling_text(int64_t row) const {
    if (column_.fill_text) return *column_.fill_text;
    if (column_.missing_is_value) return {};
    throw missing_cell(table_, row, place_, "most_frequent or category");
  }

  void write_text(int64_t row, std::string_view cell, bool is_missing, double* out) const {
    const auto& values = column_.values;
    if (is_missing && column_.missing_is_value) {
      out[std::ssize(values)] = 1.0;
      return;
    }
    if (is_missing && column_.fill_text) {
      cell = *column_.fill_text;
    } else if (is_missing && (column_.missing_is_refused || unknown_ == UnknownRule::refuse)) {
      throw missing_cell(table_, row, place_, "most_frequent or category");
    }
    const auto found = std::lower_bound(values.begin(), values.end(), cell);
    if (found != values.end() && *found == cell) {
      out[found - values.begin()] = 1.0;
    } else if (unknown_ == UnknownRule::refuse) {
      fail_unknown(row, cell);
    } else if (unknown_ == UnknownRule::column) {
      out[column_.width() - 1] = 1.0;
    }
  }

  [[noreturn]] void fail_unknown(int64_t row, std::string_view cell) const {
    throw DataError(fmt::format(
        "{}: no training row has the value {}; the column's values there are {}. Correct the cell; "
        "or set unknown = ignore, which makes all features of the column 0, or train with unknown "
        "= column, which gives such values a feature of their own, or without the column if it is "
        "a key, a date or a free text: exclude = [\"{}\"].",
        table_.place(row, place_), in_quotes(cell), readers::listed(column_.values), column_.name));
  }

  const FittedTable& fitted_;
  const FittedColumn& column_;
  const TextTable& table_;
  UnknownRule unknown_;
  double largest_;
  size_t place_;
};

[[noreturn]] void fail_class(const FittedTable& fitted, const TextTable& table, int64_t row,
                             size_t column) {
  throw DataError(fmt::format(
      "{}: no training row has the class {}; the classes there are {}. Correct the cell or leave "
      "out the row; if rows of one file are split, stratify = true gives every set its share of "
      "each class.",
      table.place(row, column), in_quotes(table.cell(row, column)),
      readers::listed(fitted.class_names)));
}

/// The number of the class that a cell names, also if it is a whole number written in another way,
/// such as 1.0; -1 if there is no such class.
int64_t class_of(std::string_view cell,
                 const std::unordered_map<std::string_view, int64_t>& numbers_of_names) {
  auto found = numbers_of_names.find(cell);
  double number = 0.0;
  if (found == numbers_of_names.end() && finite_number(cell, number) && readers::is_whole(number)) {
    found = numbers_of_names.find(fmt::format("{}", static_cast<int64_t>(number)));
  }
  return found == numbers_of_names.end() ? -1 : found->second;
}

}  // namespace

std::vector<double> features_of(const FittedTable& fitted, const TextTable& table,
                                UnknownRule unknown, double largest) {
  const auto width = static_cast<size_t>(fitted.width());
  std::vector<ColumnWriter> writers;
  for (const auto& column : fitted.columns) {
    const bool is_one_hot = column.kind == FittedColumn::Kind::one_hot;
    if (unknown == UnknownRule::column && is_one_hot && !column.has_unknown) {
      throw ConfigError::conflict(
          fmt::format("unknown = column, but in training unknown values of the column {} were "
                      "given no feature",
                      in_quotes(column.name)),
          "set unknown = ignore or refuse, or train again with unknown = column");
    }
    writers.emplace_back(fitted, column, table, unknown, largest);
  }
  std::vector<double> features(static_cast<size_t>(table.rows()) * width, 0.0);
  for (int64_t row = 0; row < table.rows(); ++row) {
    double* out = features.data() + static_cast<size_t>(row) * width;
    for (size_t i = 0; i < writers.size(); ++i) {
      writers[i].write(row, out);
      out += fitted.columns[i].width();
    }
  }
  return features;
}

std::vector<double> targets_of(const FittedTable& fitted, const TextTable& table) {
  const size_t column = table.column(fitted.target, "target");
  std::unordered_map<std::string_view, int64_t> numbers_of_names;
  for (const auto& name : fitted.class_names) {
    numbers_of_names.emplace(name, std::ssize(numbers_of_names));
  }
  std::vector<double> targets;
  targets.reserve(static_cast<size_t>(table.rows()));
  for (int64_t row = 0; row < table.rows(); ++row) {
    const auto cell = table.cell(row, column);
    if (fitted.is_missing(cell)) throw missing_target(table, row, column);
    if (!fitted.has_values) {
      const int64_t number = class_of(cell, numbers_of_names);
      if (number < 0) fail_class(fitted, table, row, column);
      targets.push_back(static_cast<double>(number));
    } else if (!finite_number(cell, targets.emplace_back())) {
      throw DataError::bad_value("the target", in_quotes(cell), table.place(row, column),
                                 "it must be a finite number. Correct the cell, or train with "
                                 "target_type = class if the targets are names of classes.");
    }
  }
  return targets;
}

std::vector<std::string> keys_of(const TextTable& table, const std::string& name) {
  const size_t column = table.column(name, "key");
  std::vector<std::string> keys;
  keys.reserve(static_cast<size_t>(table.rows()));
  for (int64_t row = 0; row < table.rows(); ++row) keys.emplace_back(table.cell(row, column));
  return keys;
}

}  // namespace levin::tables
