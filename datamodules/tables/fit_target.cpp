#include <levin/datamodules/tables/fit_target.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <numeric>
#include <string_view>

#include <fmt/format.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/tables/cell_errors.h>
#include <levin/datamodules/tables/text_table.h>
#include <levin/framework/core/error.h>

namespace levin::tables {
namespace {

using TargetCounts = std::map<std::string_view, int64_t>;

/// What the targets of the training rows are.
struct TargetCells {
  TargetCounts counts;  // of each text
  int64_t numbers = 0;  // how many of the texts are numbers
  bool are_whole = true;
  int64_t first_text = 0;  // a row whose target is no number, if there is one

  bool are_numbers() const { return numbers == std::ssize(counts); }
};

TargetCells read_targets(const TextTable& table, std::span<const int64_t> rows, size_t column,
                         const FittedTable& fitted) {
  TargetCells cells;
  for (const int64_t row : rows) {
    const auto cell = table.cell(row, column);
    if (fitted.is_missing(cell)) throw missing_target(table, row, column);
    if (++cells.counts[cell] > 1) continue;
    double number = 0.0;
    if (finite_number(cell, number)) {
      ++cells.numbers;
      cells.are_whole = cells.are_whole && readers::is_whole(number);
    } else {
      cells.first_text = row;
    }
  }
  return cells;
}

/// The names of classes that are whole numbers, in their order.
std::vector<std::string> number_names(const TargetCounts& texts) {
  std::vector<double> numbers;
  for (const auto& [text, count] : texts) finite_number(text, numbers.emplace_back());
  std::sort(numbers.begin(), numbers.end());
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  std::vector<std::string> names;
  for (const double number : numbers) {
    names.push_back(fmt::format("{}", static_cast<int64_t>(number)));
  }
  return names;
}

}  // namespace

void fit_target(const TextTable& table, std::span<const int64_t> rows, readers::TargetType type,
                FittedTable& fitted) {
  const size_t column = table.column(fitted.target, "target");
  const auto cells = read_targets(table, rows, column, fitted);
  const bool is_open = type == readers::TargetType::automatic;
  if (is_open && !cells.are_numbers() && cells.numbers * 2 >= std::ssize(cells.counts)) {
    throw DataError::bad_value("the target",
                               readers::in_quotes(table.cell(cells.first_text, column)),
                               table.place(cells.first_text, column),
                               "most targets are numbers, so it must be one, too. Correct the "
                               "cell, or set target_type = class if targets are names of classes.");
  }
  fitted.has_values =
      type == readers::TargetType::values || (is_open && cells.are_numbers() && !cells.are_whole);
  if (fitted.has_values) return;  // targets_of checks that all are numbers
  if (cells.are_numbers() && cells.are_whole) {
    fitted.class_names = number_names(cells.counts);
    return;
  }
  for (const auto& [text, count] : cells.counts) fitted.class_names.emplace_back(text);
}

std::vector<int64_t> stratification_labels(const TextTable& table, const TableSettings& settings) {
  const size_t column = table.column(settings.target, "target");
  const FittedTable missing{.missing_values = settings.missing_values};
  std::vector<int64_t> rows(static_cast<size_t>(table.rows()));
  std::iota(rows.begin(), rows.end(), int64_t{0});
  auto cells = read_targets(table, rows, column, missing);
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
  for (const int64_t row : rows) labels.push_back(cells.counts.at(table.cell(row, column)));
  return labels;
}

}  // namespace levin::tables
