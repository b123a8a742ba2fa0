#include <levin/datamodules/tables/fit_table.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/tables/cell_errors.h>
#include <levin/datamodules/tables/fit_target.h>
#include <levin/datamodules/tables/text_table.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>

namespace levin::tables {
namespace {

using readers::in_quotes;
using RuleKind = MissingRule::Kind;
using TextCounts = std::map<std::string_view, int64_t>;

/// From this number of distinct texts on, a column in which most are distinct looks like a key.
constexpr size_t kManyTexts = 20;

/// From more classes than these on, whole numbers may be values.
constexpr size_t kManyClasses = 100;

/// Among several most frequent ones the smallest, as scikit-learn does.
template <class Counts>
auto most_frequent(const Counts& counts) {
  return std::max_element(counts.begin(), counts.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

double median_of(std::vector<double> numbers) {
  std::sort(numbers.begin(), numbers.end());
  const size_t half = numbers.size() / 2;
  return numbers.size() % 2 == 1 ? numbers[half] : (numbers[half - 1] + numbers[half]) / 2.0;
}

double mean_of(const std::vector<double>& numbers) {
  const double sum = std::accumulate(numbers.begin(), numbers.end(), 0.0);
  return sum / static_cast<double>(numbers.size());
}

double filling(const MissingRule& rule, const std::vector<double>& numbers) {
  if (rule.kind == RuleKind::mean) return mean_of(numbers);
  if (rule.kind == RuleKind::median) return median_of(numbers);
  if (rule.kind == RuleKind::constant) return rule.constant;
  std::map<double, int64_t> counts;
  for (const double number : numbers) ++counts[number];
  return most_frequent(counts);
}

/// Sets mean and scale. Deviations that are nothing but rounding errors count as 0, by the bound
/// that StandardScaler has.
void standardize(FittedColumn& column, const std::vector<double>& numbers) {
  const auto count = static_cast<double>(numbers.size());
  column.mean = mean_of(numbers);
  double squares = 0.0;
  double rest = 0.0;
  for (const double number : numbers) {
    const double difference = number - column.mean;
    squares += difference * difference;
    rest += difference;
  }
  column.mean += rest / count;
  const double variance = std::max(0.0, (squares - rest * rest / count) / count);
  constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
  const double error = count * column.mean * kEpsilon;
  const bool is_constant = variance <= count * kEpsilon * variance + error * error;
  column.scale = is_constant ? 1.0 : std::sqrt(variance);
}

/// Makes the FittedColumns of one table.
class ColumnFitter {
 public:
  ColumnFitter(const TextTable& table, std::span<const int64_t> rows, const TableSettings& settings,
               const FittedTable& fitted, std::vector<std::string>& notes)
      : table_(table), rows_(rows), settings_(settings), fitted_(fitted), notes_(notes) {}

  FittedColumn fit(const ChosenColumn& chosen) {
    const auto& name = table_.columns()[chosen.column];
    const bool is_number = chosen.is_number ? *chosen.is_number : holds_numbers(chosen.column);
    FittedColumn column{.name = name};
    if (is_number) {
      fit_number(chosen, column);
    } else {
      fit_texts(chosen, column);
    }
    return column;
  }

 private:
  /// Whether the cells that aren't missing are numbers. Throws DataError for the first text if most
  /// are, and the column's DataError if all cells are missing.
  bool holds_numbers(size_t column) const {
    int64_t numbers = 0;
    int64_t texts = 0;
    int64_t first_text = 0;
    for (const int64_t row : rows_) {
      double ignored = 0.0;
      const auto cell = table_.cell(row, column);
      if (fitted_.is_missing(cell)) continue;
      if (finite_number(cell, ignored)) {
        ++numbers;
      } else if (texts++ == 0 || row < first_text) {
        first_text = row;
      }
    }
    if (numbers + texts == 0) fail_empty(column);
    if (texts > 0 && numbers >= texts) throw no_number(table_, first_text, column, false);
    return texts == 0;
  }

  [[noreturn]] void fail_empty(size_t column) const {
    const auto& name = table_.columns()[column];
    throw DataError(
        fmt::format("{}, column {} ({}): the cell is missing in all {}, so nothing can be learned "
                    "from the column. Leave it out: exclude = [\"{}\"].",
                    table_.file(), column + 1, name, counted(rows_.size(), "training row"), name));
  }

  /// Refuses a rule that was given for this column, but doesn't suit what it holds.
  void require_rule(const ChosenColumn& chosen, bool suits, const char* holds,
                    const char* rules) const {
    if (suits || !chosen.has_own_rule || chosen.missing.kind == RuleKind::refuse) return;
    throw ConfigError::conflict(
        fmt::format("missing_in has a rule for the column {} of {} that doesn't suit {}",
                    in_quotes(table_.columns()[chosen.column]), table_.file(), holds),
        fmt::format("take {}", rules));
  }

  void fit_number(const ChosenColumn& chosen, FittedColumn& column) const {
    const auto kind = chosen.missing.kind;
    const bool is_filled = kind != RuleKind::refuse && kind != RuleKind::category;
    require_rule(chosen, is_filled, "numbers", "mean, median, most_frequent or a number");
    std::vector<double> numbers;
    int64_t gaps = 0;
    for (const int64_t row : rows_) {
      const auto cell = table_.cell(row, chosen.column);
      double number = 0.0;
      if (fitted_.is_missing(cell)) {
        if (!is_filled) throw missing_number(row, chosen.column);
        ++gaps;
      } else if (finite_number(cell, number)) {
        numbers.push_back(number);
      } else {
        throw no_number(table_, row, chosen.column, true);
      }
    }
    if (numbers.empty()) fail_empty(chosen.column);
    if (is_filled) column.fill = filling(chosen.missing, numbers);
    column.has_indicator = settings_.missing_indicator && gaps > 0;
    if (!settings_.standardize) return;
    if (gaps > 0) numbers.insert(numbers.end(), static_cast<size_t>(gaps), *column.fill);
    standardize(column, numbers);
  }

  DataError missing_number(int64_t row, size_t column) const {
    return missing_cell(table_, row, column, "mean, median, most_frequent or a number");
  }

  void fit_texts(const ChosenColumn& chosen, FittedColumn& column) {
    const auto kind = chosen.missing.kind;
    const bool is_filled = kind == RuleKind::most_frequent;
    const bool is_value = kind == RuleKind::category;
    require_rule(chosen, is_filled || is_value, "texts", "most_frequent or category");
    TextCounts counts;
    int64_t gaps = 0;
    for (const int64_t row : rows_) {
      const auto cell = table_.cell(row, chosen.column);
      if (!fitted_.is_missing(cell)) {
        ++counts[cell];
        continue;
      }
      if (!is_filled && !is_value) {
        throw missing_cell(table_, row, chosen.column, "most_frequent or category");
      }
      ++gaps;
    }
    if (counts.empty()) fail_empty(chosen.column);
    if (is_filled) {
      const auto most = most_frequent(counts);
      counts[most] += gaps;
      column.fill_text = std::string(most);
    }
    if (chosen.is_hashed) {
      column.kind = FittedColumn::Kind::hashed;
      column.hash_columns = settings_.hash_columns;
      column.missing_is_value = is_value;
      return;
    }
    column.kind = FittedColumn::Kind::one_hot;
    column.missing_is_value = is_value && gaps > 0;
    column.missing_is_refused = !is_filled && !is_value;
    column.has_unknown = settings_.unknown == UnknownRule::column;
    for (const auto& [text, count] : counts) {
      if (count >= settings_.min_count) column.values.emplace_back(text);
    }
    if (!chosen.is_number) note_key(chosen.column, counts.size());
    if (column.width() == 0) fail_rare(column.name);
  }

  [[noreturn]] void fail_rare(const std::string& name) const {
    throw ConfigError::conflict(fmt::format("min_count = {} leaves no value of the column {} of {}",
                                            settings_.min_count, in_quotes(name), table_.file()),
                                "lower it, name the column in hashed, or exclude it");
  }

  void note_key(size_t column, size_t texts) {
    if (texts < kManyTexts || texts * 2 < rows_.size()) return;
    notes_.push_back(fmt::format(
        "{}: the column {} is taken for a category, but it has {} different texts in {}, like a "
        "key, a date or a free text. If it is one, set key or exclude.",
        table_.file(), in_quotes(table_.columns()[column]), texts,
        counted(rows_.size(), "training row")));
  }

  const TextTable& table_;
  std::span<const int64_t> rows_;
  const TableSettings& settings_;
  const FittedTable& fitted_;
  std::vector<std::string>& notes_;
};

void require_settings(const TableSettings& settings) {
  if (settings.hash_columns < 1) {
    throw ConfigError::invalid_value("hash_columns", std::to_string(settings.hash_columns),
                                     "must be at least 1");
  }
  if (settings.min_count < 1) {
    throw ConfigError::invalid_value("min_count", std::to_string(settings.min_count),
                                     "must be at least 1");
  }
  if (settings.min_count == 1 || settings.unknown != UnknownRule::refuse) return;
  throw ConfigError::conflict(
      fmt::format("min_count = {} leaves rare values out, but unknown = refuse refuses them",
                  settings.min_count),
      "set unknown = ignore, or unknown = column to give them a column of their own");
}

}  // namespace

FittedTable fit_table(const TextTable& table, std::span<const int64_t> rows,
                      const TableSettings& settings, std::vector<std::string>& notes) {
  require_settings(settings);
  FittedTable fitted{.missing_values = settings.missing_values,
                     .unknown = settings.unknown,
                     .target = settings.target,
                     .key = settings.key};
  ColumnFitter fitter(table, rows, settings, fitted, notes);
  if (!settings.target.empty()) fit_target(table, rows, settings.target_type, fitted);
  if (settings.target_type == readers::TargetType::automatic &&
      fitted.class_names.size() > kManyClasses) {
    notes.push_back(fmt::format(
        "{}: the targets in the column {} are taken for {} classes; if they are values, set "
        "target_type = value.",
        table.file(), in_quotes(fitted.target), fitted.class_names.size()));
  }
  std::vector<FittedColumn> columns;
  for (const auto& chosen : choose_columns(table, settings)) columns.push_back(fitter.fit(chosen));
  fitted.columns = std::move(columns);
  return fitted;
}

}  // namespace levin::tables
