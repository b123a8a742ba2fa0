#include <levin/datamodules/tables/column_fitter.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/tables/cell_errors.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>

namespace levin::tables {
namespace {

using RuleKind = MissingRule::Kind;

/// From this number of distinct texts on, a column in which most are distinct looks like a key.
constexpr size_t kManyTexts = 20;

/// The most distinct texts of a column that are kept while all of them may turn out to be numbers.
constexpr size_t kMostUndecided = size_t{1} << 14;

constexpr const char* kNumberRules = "mean, median, most_frequent or a number";
constexpr const char* kTextRules = "most_frequent or category";

/// Among several most frequent ones the smallest, as scikit-learn does.
template <class Counts>
auto most_frequent(const Counts& counts) {
  return std::max_element(counts.begin(), counts.end(),
                          [](const auto& a, const auto& b) {
                            return a.second < b.second ||
                                   (a.second == b.second && b.first < a.first);
                          })
      ->first;
}

}  // namespace

ColumnFitter::ColumnFitter(ColumnTask task, const TableSettings& settings)
    : task_(std::move(task)), settings_(settings), median_(task_.most_kept) {}

void ColumnFitter::add(const TextTable& table, int64_t row, bool is_missing) {
  const auto cell = table.cell(row, task_.chosen.column);
  if (pass_ == Pass::first) {
    if (!is_missing) return look_at(table, row, cell);
    if (gaps_++ == 0) first_gap_ = table.found(row, task_.chosen.column);
  } else if (!is_missing && pass_ == Pass::texts) {
    count_text(cell);
  } else if (double number = 0.0; !is_missing && finite_number(cell, number)) {
    median_.add(number);
  }
}

void ColumnFitter::look_at(const TextTable& table, int64_t row, std::string_view cell) {
  double number = 0.0;
  const auto told = task_.chosen.is_number;
  if (told.value_or(true) && finite_number(cell, number)) {
    ++numbers_;
    if (texts_ == 0) add_number(number);
  } else if (texts_++ == 0) {
    first_text_ = table.found(row, task_.chosen.column);
  }
  if (!told.value_or(false)) count_text(cell);
}

void ColumnFitter::add_number(double number) {
  const auto kind = task_.chosen.missing.kind;
  if (settings_.standardize || kind == RuleKind::mean) sums_.add(number);
  if (kind == RuleKind::median) median_.add(number);
  if (kind != RuleKind::most_frequent || are_numbers_dropped_) return;
  ++number_counts_[number];
  if (number_counts_.size() <= task_.most_kept) return;
  are_numbers_dropped_ = true;
  number_counts_ = {};
}

void ColumnFitter::count_text(std::string_view cell) {
  const auto& chosen = task_.chosen;
  if (are_texts_dropped_) return;
  if (chosen.is_hashed && chosen.missing.kind != RuleKind::most_frequent) return;
  const auto found = text_counts_.find(cell);
  if (found != text_counts_.end()) {
    ++found->second;
    return;
  }
  text_counts_.emplace(cell, 1);
  const bool is_category = chosen.is_number || pass_ == Pass::texts || texts_ > numbers_;
  const size_t most = is_category ? task_.most_kept : std::min(task_.most_kept, kMostUndecided);
  if (text_counts_.size() <= most) return;
  are_texts_dropped_ = true;
  text_counts_ = {};
}

bool ColumnFitter::is_number() const { return task_.chosen.is_number.value_or(texts_ == 0); }

/// Whether there is a text in a column that isn't told to be a category, but looks like numbers.
bool ColumnFitter::is_mixed() const {
  return !task_.chosen.is_number && texts_ > 0 && numbers_ >= texts_;
}

bool ColumnFitter::end_pass() {
  const bool is_first = pass_ == Pass::first;
  if (numbers_ + texts_ == 0 || is_mixed()) return false;  // an error
  if (is_number()) {
    if (task_.chosen.missing.kind != RuleKind::median || texts_ > 0) return false;
    pass_ = Pass::median;
    return median_.end_pass();
  }
  if (!is_first || !are_texts_dropped_ || task_.most_kept <= kMostUndecided) return false;
  pass_ = Pass::texts;
  are_texts_dropped_ = false;
  return true;
}

FittedColumn ColumnFitter::finish(std::vector<std::string>& notes) {
  if (numbers_ + texts_ == 0) fail_empty();
  if (is_mixed()) throw no_number(*first_text_, false);
  FittedColumn column{.name = task_.name};
  if (is_number()) {
    finish_number(column);
  } else {
    finish_texts(column, notes);
  }
  return column;
}

/// Refuses a rule that was given for this column, but doesn't suit what it holds.
void ColumnFitter::require_rule(bool suits, const char* holds, const char* rules) const {
  const auto& chosen = task_.chosen;
  if (suits || !chosen.has_own_rule || chosen.missing.kind == RuleKind::refuse) return;
  throw ConfigError::conflict(
      fmt::format("missing_in has a rule for the column {} of {} that doesn't suit {}",
                  readers::in_quotes(task_.name), task_.file, holds),
      fmt::format("take {}", rules));
}

void ColumnFitter::finish_number(FittedColumn& column) {
  const auto kind = task_.chosen.missing.kind;
  const bool is_filled = kind != RuleKind::refuse && kind != RuleKind::category;
  require_rule(is_filled, "numbers", kNumberRules);
  if (first_gap_ && !is_filled) throw missing_cell(*first_gap_, kNumberRules);
  if (first_text_) throw no_number(*first_text_, true);
  if (is_filled) column.fill = filling();
  column.has_indicator = settings_.missing_indicator && gaps_ > 0;
  if (settings_.standardize) standardize(column);
}

double ColumnFitter::filling() const {
  const auto& rule = task_.chosen.missing;
  if (rule.kind == RuleKind::median) return median_.median();
  if (rule.kind == RuleKind::constant) return rule.constant;
  if (rule.kind == RuleKind::mean) {
    const double mean = sums_.mean();
    if (!std::isfinite(mean)) fail_large();
    return mean;
  }
  if (are_numbers_dropped_) fail_many("numbers", "set missing to mean, median or a number");
  return most_frequent(number_counts_);
}

/// Sets mean and scale. Deviations that are nothing but rounding errors count as 0, by the bound
/// that StandardScaler has.
void ColumnFitter::standardize(FittedColumn& column) {
  if (gaps_ > 0) sums_.add_copies(*column.fill, gaps_);
  column.mean = sums_.mean();
  const double variance = sums_.variance();
  if (!std::isfinite(column.mean) || !std::isfinite(variance)) fail_large();
  const auto count = static_cast<double>(sums_.count());
  constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
  const double error = count * column.mean * kEpsilon;
  const bool is_constant = variance <= count * kEpsilon * variance + error * error;
  column.scale = is_constant ? 1.0 : std::sqrt(variance);
}

void ColumnFitter::finish_texts(FittedColumn& column, std::vector<std::string>& notes) {
  const auto& chosen = task_.chosen;
  const bool is_filled = chosen.missing.kind == RuleKind::most_frequent;
  const bool is_value = chosen.missing.kind == RuleKind::category;
  require_rule(is_filled || is_value, "texts", kTextRules);
  if (first_gap_ && !is_filled && !is_value) throw missing_cell(*first_gap_, kTextRules);
  if (are_texts_dropped_) {
    fail_many("texts",
              fmt::format("hash them: hashed = [\"{0}\"]; or leave out the column: exclude "
                          "= [\"{0}\"]",
                          task_.name));
  }
  if (is_filled) {
    column.fill_text = most_frequent(text_counts_);
    text_counts_[*column.fill_text] += gaps_;
  }
  if (chosen.is_hashed) {
    column.kind = FittedColumn::Kind::hashed;
    column.hash_columns = settings_.hash_columns;
    column.missing_is_value = is_value;
    return;
  }
  column.kind = FittedColumn::Kind::one_hot;
  column.missing_is_value = is_value && gaps_ > 0;
  column.missing_is_refused = !is_filled && !is_value;
  column.has_unknown = settings_.unknown == UnknownRule::column;
  for (const auto& [text, count] : text_counts_) {
    if (count >= settings_.min_count) column.values.push_back(text);
  }
  std::sort(column.values.begin(), column.values.end());
  if (!chosen.is_number) note_key(text_counts_.size(), notes);
  if (column.width() == 0) fail_rare();
}

void ColumnFitter::note_key(size_t texts, std::vector<std::string>& notes) const {
  if (texts < kManyTexts || static_cast<int64_t>(texts) * 2 < rows()) return;
  notes.push_back(fmt::format(
      "{}: the column {} is taken for a category, but it has {} different texts in {}, like a "
      "key, a date or a free text. If it is one, set key or exclude.",
      task_.file, readers::in_quotes(task_.name), texts, counted(rows(), "training row")));
}

void ColumnFitter::fail_empty() const {
  throw DataError(
      fmt::format("{}, column {} ({}): the cell is missing in all {}, so nothing can be learned "
                  "from the column. Leave it out: exclude = [\"{}\"].",
                  task_.file, task_.chosen.column + 1, task_.name, counted(rows(), "training row"),
                  task_.name));
}

void ColumnFitter::fail_many(const char* what, const std::string& remedy) const {
  throw DataError(
      fmt::format("{}, column {} ({}): the training rows have more than {} different {}, and a "
                  "stream counts no "
                  "more of them, so that it takes little memory; {}; or set stream = false",
                  task_.file, task_.chosen.column + 1, task_.name, task_.most_kept, what, remedy));
}

void ColumnFitter::fail_large() const {
  throw DataError(fmt::format(
      "{}, column {} ({}): the numbers of the training rows are so large that their mean or their "
      "deviation is more than a double holds. Correct them, or leave out the column: exclude = "
      "[\"{}\"].",
      task_.file, task_.chosen.column + 1, task_.name, task_.name));
}

void ColumnFitter::fail_rare() const {
  throw ConfigError::conflict(
      fmt::format("min_count = {} leaves no value of the column {} of {}", settings_.min_count,
                  readers::in_quotes(task_.name), task_.file),
      "lower it, name the column in hashed, or exclude it");
}

}  // namespace levin::tables
