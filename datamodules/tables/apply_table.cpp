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

/// Writes the features that one cell becomes.
class CellWriter {
 public:
  CellWriter(const FittedColumn& column, const FeatureRules& rules, const TextTable& table,
             int64_t row, size_t place)
      : column_(column), rules_(rules), table_(table), row_(row), place_(place) {}

  /// `out` is the first feature of the column, in a row of zeros.
  void write(bool is_missing, double* out) const {
    const auto cell = table_.cell(row_, place_);
    if (column_.kind == FittedColumn::Kind::number) return write_number(cell, is_missing, out);
    if (column_.kind == FittedColumn::Kind::one_hot) return write_text(cell, is_missing, out);
    const auto text = is_missing ? filling_text() : cell;
    out[hashed_place(text, column_.hash_columns)] = 1.0;
  }

 private:
  void write_number(std::string_view cell, bool is_missing, double* out) const {
    double number = 0.0;
    if (is_missing) {
      if (!column_.fill) {
        throw missing_cell(found(), "mean, median, most_frequent or a number");
      }
      number = *column_.fill;
    } else if (!finite_number(cell, number)) {
      throw no_number(found(), true);
    }
    out[0] = (number - column_.mean) / column_.scale;
    if (column_.has_indicator) out[1] = is_missing ? 1.0 : 0.0;
    if (std::abs(out[0]) <= rules_.largest) return;
    throw DataError::bad_value("the cell", in_quotes(cell), found().place,
                               fmt::format("the feature it becomes is {}, but can be at most {} in "
                                           "size. Correct the cell, or set dtype = float64.",
                                           out[0], rules_.largest));
  }

  /// What stands for a missing text in a hashed column.
  std::string_view filling_text() const {
    if (column_.fill_text) return *column_.fill_text;
    if (column_.missing_is_value) return {};
    throw missing_cell(found(), "most_frequent or category");
  }

  void write_text(std::string_view cell, bool is_missing, double* out) const {
    const auto& values = column_.values;
    if (is_missing && column_.missing_is_value) {
      out[std::ssize(values)] = 1.0;
      return;
    }
    if (is_missing && column_.fill_text) {
      cell = *column_.fill_text;
    } else if (is_missing &&
               (column_.missing_is_refused || rules_.unknown == UnknownRule::refuse)) {
      throw missing_cell(found(), "most_frequent or category");
    }
    const auto known = std::lower_bound(values.begin(), values.end(), cell);
    if (known != values.end() && *known == cell) {
      out[known - values.begin()] = 1.0;
    } else if (rules_.unknown == UnknownRule::refuse) {
      fail_unknown(cell);
    } else if (rules_.unknown == UnknownRule::column) {
      out[column_.width() - 1] = 1.0;
    }
  }

  [[noreturn]] void fail_unknown(std::string_view cell) const {
    throw DataError(fmt::format(
        "{}: no training row has the value {}; the column's values there are {}. Correct the cell; "
        "or set unknown = ignore, which makes all features of the column 0, or train with unknown "
        "= column, which gives such values a feature of their own, or without the column if it is "
        "a key, a date or a free text: exclude = [\"{}\"].",
        found().place, in_quotes(cell), readers::listed(column_.values), column_.name));
  }

  FoundCell found() const { return table_.found(row_, place_); }

  const FittedColumn& column_;
  const FeatureRules& rules_;
  const TextTable& table_;
  int64_t row_;
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

using NumbersOfNames = std::unordered_map<std::string_view, int64_t>;

NumbersOfNames numbered_names(const std::vector<std::string>& names) {
  NumbersOfNames numbers;
  for (const auto& name : names) numbers.emplace(name, std::ssize(numbers));
  return numbers;
}

/// The number of the class or group that a cell names, also if it is a whole number written in
/// another way, such as 1.0; -1 if there is none.
int64_t class_of(std::string_view cell, const NumbersOfNames& numbers_of_names) {
  auto found = numbers_of_names.find(cell);
  double number = 0.0;
  if (found == numbers_of_names.end() && finite_number(cell, number) && readers::is_whole(number)) {
    found = numbers_of_names.find(fmt::format("{}", static_cast<int64_t>(number)));
  }
  return found == numbers_of_names.end() ? -1 : found->second;
}

}  // namespace

FeatureWriter::FeatureWriter(const FittedTable& fitted, const TextTable& header, FeatureRules rules)
    : fitted_(fitted), rules_(rules), width_(fitted.width()) {
  for (const auto& column : fitted.columns) {
    const bool is_one_hot = column.kind == FittedColumn::Kind::one_hot;
    if (rules.unknown == UnknownRule::column && is_one_hot && !column.has_unknown) {
      throw ConfigError::conflict(
          fmt::format("unknown = column, but in training unknown values of the column {} were "
                      "given no feature",
                      in_quotes(column.name)),
          "set unknown = ignore or refuse, or train again with unknown = column");
    }
    places_.push_back(header.column(column.name, "a feature of the training data"));
  }
}

void FeatureWriter::write(const TextTable& table, int64_t row, double* out) const {
  std::fill_n(out, width_, 0.0);
  for (size_t i = 0; i < places_.size(); ++i) {
    const auto& column = fitted_.columns[i];
    const bool is_missing = fitted_.is_missing(table.cell(row, places_[i]));
    CellWriter(column, rules_, table, row, places_[i]).write(is_missing, out);
    out += column.width();
  }
}

std::vector<double> features_of(const FittedTable& fitted, const TextTable& table,
                                UnknownRule unknown, double largest) {
  const FeatureWriter writer(fitted, table, {.unknown = unknown, .largest = largest});
  const auto width = static_cast<size_t>(writer.width());
  std::vector<double> features(static_cast<size_t>(table.rows()) * width);
  for (int64_t row = 0; row < table.rows(); ++row) {
    writer.write(table, row, features.data() + static_cast<size_t>(row) * width);
  }
  return features;
}

TargetReader::TargetReader(const FittedTable& fitted, const TextTable& header, double largest)
    : fitted_(fitted),
      largest_(largest),
      column_(header.column(fitted.target, "target")),
      numbers_of_names_(numbered_names(fitted.class_names)) {}

double TargetReader::target(const TextTable& table, int64_t row) const {
  const auto cell = table.cell(row, column_);
  if (fitted_.is_missing(cell)) throw missing_target(table.found(row, column_));
  if (!fitted_.has_values) {
    const int64_t number = class_of(cell, numbers_of_names_);
    if (number < 0) fail_class(fitted_, table, row, column_);
    return static_cast<double>(number);
  }
  double value = 0.0;
  if (!finite_number(cell, value)) throw no_value(table.found(row, column_));
  if (std::abs(value) <= largest_) return value;
  throw DataError::bad_value(
      "the target", in_quotes(cell), table.place(row, column_),
      fmt::format("it can be at most {} in size. Correct the cell, or set dtype = float64.",
                  largest_));
}

std::vector<double> targets_of(const FittedTable& fitted, const TextTable& table, double largest) {
  const TargetReader reader(fitted, table, largest);
  std::vector<double> targets;
  targets.reserve(static_cast<size_t>(table.rows()));
  for (int64_t row = 0; row < table.rows(); ++row) targets.push_back(reader.target(table, row));
  return targets;
}

GroupReader::GroupReader(const FittedTable& fitted, const TextTable& header)
    : fitted_(fitted),
      column_(header.column(fitted.group, "group")),
      numbers_of_names_(numbered_names(fitted.group_names)) {}

int64_t GroupReader::group(const TextTable& table, int64_t row) const {
  const auto cell = table.cell(row, column_);
  if (fitted_.is_missing(cell)) throw missing_group(table.found(row, column_));
  const int64_t number = class_of(cell, numbers_of_names_);
  if (number >= 0) return number;
  throw DataError(fmt::format(
      "{}: no training row is in the group {}; the groups there are {}. Correct the cell or leave "
      "out the row; if rows of one file are split, val_split = 0 and test_split = 0 train on all "
      "of its groups.",
      table.place(row, column_), in_quotes(cell), readers::listed(fitted_.group_names)));
}

std::vector<int64_t> groups_of(const FittedTable& fitted, const TextTable& table) {
  const GroupReader reader(fitted, table);
  std::vector<int64_t> groups;
  groups.reserve(static_cast<size_t>(table.rows()));
  for (int64_t row = 0; row < table.rows(); ++row) groups.push_back(reader.group(table, row));
  return groups;
}

std::vector<std::string> keys_of(const TextTable& table, const std::string& name) {
  const size_t column = table.column(name, "key");
  std::vector<std::string> keys;
  keys.reserve(static_cast<size_t>(table.rows()));
  for (int64_t row = 0; row < table.rows(); ++row) keys.emplace_back(table.cell(row, column));
  return keys;
}

double weight_of(const TextTable& table, int64_t row, size_t column, double largest) {
  double weight = 0.0;
  const auto cell = table.cell(row, column);
  if (finite_number(cell, weight) && weight >= 0.0 && weight <= largest) return weight;
  throw DataError::bad_value(
      "the weight", in_quotes(cell), table.place(row, column),
      "it must be a finite number, 0 or more. Correct the cell, or leave out "
      "the row.");
}

}  // namespace levin::tables
