#include <levin/datamodules/tables/fit_target.h>

#include <algorithm>
#include <iterator>
#include <map>

#include <fmt/format.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/tables/cell_errors.h>
#include <levin/datamodules/tables/text_table.h>
#include <levin/framework/core/error.h>

namespace levin::tables {
namespace {

void add_cell(const TextTable& table, int64_t row, size_t column, TargetCells& cells) {
  const auto cell = table.cell(row, column);
  const auto known = cells.counts.find(cell);
  if (known != cells.counts.end()) {
    ++known->second;
    return;
  }
  cells.counts.emplace(cell, 1);
  ++cells.distinct;
  double number = 0.0;
  if (finite_number(cell, number)) {
    ++cells.numbers;
    cells.are_whole = cells.are_whole && readers::is_whole(number);
  } else if (!cells.first_text) {
    cells.first_text = table.found(row, column);
  }
}

void add_target(const TextTable& table, int64_t row, size_t column, const FittedTable& missing,
                TargetCells& cells) {
  if (missing.is_missing(table.cell(row, column))) throw missing_target(table.found(row, column));
  add_cell(table, row, column, cells);
}

/// The names in their order, which is that of the numbers if all are whole numbers.
std::vector<std::string> ordered_names(const TargetCells& cells) {
  std::vector<std::string> names;
  if (!cells.are_numbers() || !cells.are_whole) {
    for (const auto& [text, count] : cells.counts) names.push_back(text);
    return names;
  }
  std::vector<double> numbers;
  for (const auto& [text, count] : cells.counts) finite_number(text, numbers.emplace_back());
  std::sort(numbers.begin(), numbers.end());
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  for (const double number : numbers) {
    names.push_back(fmt::format("{}", static_cast<int64_t>(number)));
  }
  return names;
}

}  // namespace

TargetFitter::TargetFitter(const TextTable& header, const TableSettings& settings, size_t most_kept)
    : file_(header.file()),
      column_(header.column(settings.target, "target")),
      type_(settings.target_type),
      most_kept_(most_kept),
      missing_{.missing_values = settings.missing_values, .target = settings.target} {}

void TargetFitter::add(const TextTable& table, int64_t row) {
  if (type_ != readers::TargetType::values) {
    add_target(table, row, column_, missing_, cells_);
    if (cells_.counts.size() <= most_kept_) return;
    are_many_ = true;
    cells_.counts.clear();  // what was found in them stays
    return;
  }
  const auto cell = table.cell(row, column_);
  double value = 0.0;
  if (missing_.is_missing(cell)) throw missing_target(table.found(row, column_));
  if (!finite_number(cell, value)) throw no_value(table.found(row, column_));
}

void TargetFitter::finish(FittedTable& fitted) const {
  const bool is_open = type_ == readers::TargetType::automatic;
  if (is_open && !cells_.are_numbers() && cells_.numbers * 2 >= cells_.distinct) {
    throw DataError::bad_value("the target", readers::in_quotes(cells_.first_text->text),
                               cells_.first_text->place,
                               "most targets are numbers, so it must be one, too. Correct the "
                               "cell, or set target_type = class if targets are names of classes.");
  }
  fitted.has_values = type_ == readers::TargetType::values ||
                      (is_open && cells_.are_numbers() && !cells_.are_whole);
  if (fitted.has_values) return;  // targets_of checks that all are numbers
  if (are_many_) {
    throw DataError(fmt::format(
        "{}, column {} ({}): the training rows have more than {} different targets, which is too "
        "many for classes; set target_type = value if they are numbers to predict",
        file_, column_ + 1, missing_.target, most_kept_));
  }
  fitted.class_names = ordered_names(cells_);
}

GroupFitter::GroupFitter(const TextTable& header, const TableSettings& settings, size_t most_kept)
    : name_(settings.group),
      column_(header.column(settings.group, "group")),
      most_kept_(most_kept),
      missing_{.missing_values = settings.missing_values} {}

void GroupFitter::add(const TextTable& table, int64_t row) {
  if (missing_.is_missing(table.cell(row, column_))) {
    throw missing_group(table.found(row, column_));
  }
  add_cell(table, row, column_, cells_);
  if (cells_.counts.size() <= most_kept_) return;
  throw DataError(
      fmt::format("{}: this is the {}th group, and a stream can have at most {}; read the file "
                  "into memory (stream = false), or group by a column of fewer values",
                  table.place(row, column_), most_kept_ + 1, most_kept_));
}

void GroupFitter::finish(FittedTable& fitted) const {
  fitted.group = name_;
  fitted.group_names = ordered_names(cells_);
}

std::vector<int64_t> stratification_labels(const TextTable& table, const TableSettings& settings) {
  const size_t column = table.column(settings.target, "target");
  const FittedTable missing{.missing_values = settings.missing_values};
  TargetCells cells;
  for (int64_t row = 0; row < table.rows(); ++row) add_target(table, row, column, missing, cells);
  using readers::TargetType;
  const auto type = settings.target_type;
  const bool has_fractions = cells.are_numbers() && !cells.are_whole;
  if (type == TargetType::values || (type == TargetType::automatic && has_fractions)) {
    throw ConfigError::conflict("stratify = true needs classes, but the targets are values",
                                "set stratify = false, or target_type = class");
  }
  // A whole number is one class, in whatever ways it is written.
  std::map<double, int64_t> label_of_number;
  int64_t classes = 0;
  for (auto& [text, label] : cells.counts) {
    double number = 0.0;
    if (cells.are_numbers() && finite_number(text, number)) {
      label = label_of_number.emplace(number, std::ssize(label_of_number)).first->second;
    } else {
      label = classes++;
    }
  }
  std::vector<int64_t> labels;
  for (int64_t row = 0; row < table.rows(); ++row) {
    labels.push_back(cells.counts.find(table.cell(row, column))->second);
  }
  return labels;
}

}  // namespace levin::tables
