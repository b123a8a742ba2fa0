#include <levin/datamodules/readers/csv_header.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/text.h>
#include <levin/framework/core/error.h>

namespace levin::readers {
namespace {

/// From this number of columns on, fractions in rising or falling order are taken for a scale, such
/// as wavelengths. Fewer are in order too often by chance.
constexpr size_t kShortestScale = 8;

bool is_numeric_cell(const std::string& cell) {
  double ignored = 0.0;
  return parse_number(cell, ignored);
}

bool has_cell(const std::vector<std::string>& cells, const std::string& name) {
  return std::find(cells.begin(), cells.end(), name) != cells.end();
}

/// Whether the record holds the names of all features of the first file.
bool has_names_of(const std::vector<std::string>& cells, const CsvLayout& first) {
  if (first.names.empty() || first.is_target_alone()) return false;
  for (size_t i = 0; i < first.names.size(); ++i) {
    if (i != first.target && !has_cell(cells, first.names[i])) return false;
  }
  return true;
}

/// Whether the numbers among the cells could be names of columns: years, or a scale of wavelengths.
bool could_be_names(const std::vector<std::string>& cells) {
  std::vector<double> values;
  for (const auto& cell : cells) {
    double value = 0.0;
    if (parse_number(cell, value)) values.push_back(value);
  }
  const bool all_positive = std::all_of(values.begin(), values.end(),
                                        [](double v) { return v >= 0.0 && std::isfinite(v); });
  if (!all_positive) return false;
  const bool all_whole =
      std::all_of(values.begin(), values.end(), [](double v) { return v == std::trunc(v); });
  const bool is_scale =
      values.size() >= kShortestScale && (std::is_sorted(values.begin(), values.end()) ||
                                          std::is_sorted(values.rbegin(), values.rend()));
  if (!all_whole && !is_scale) return false;
  std::sort(values.begin(), values.end());
  return std::adjacent_find(values.begin(), values.end()) == values.end();
}

/// Whether the cells are 0, 1, 2 ...
bool counts_from_zero(const std::vector<std::string>& cells) {
  for (size_t i = 0; i < cells.size(); ++i) {
    if (cells[i] != std::to_string(i)) return false;
  }
  return cells.size() > 1;
}

std::string place_of_line(const FirstRecords& records) {
  return std::string(records.file) + ", line " + std::to_string(records.line) + ": ";
}

HeaderFinding taken_for_row(const FirstRecords& records) {
  return {false, true, false,
          place_of_line(records) + listed(records.first, 5) +
              (records.first.size() == 1 ? " is" : " are") +
              " taken for a row. Set header = true if the line names the columns, or header = "
              "false if it doesn't."};
}

HeaderFinding all_numbers(const FirstRecords& records) {
  if (records.second.empty()) return {};  // no file consists of names alone
  const bool is_first = records.like == nullptr;
  if (counts_from_zero(records.first) && (is_first || records.first.size() > 2)) {
    return {false, true, true,
            place_of_line(records) + "the numbers count from 0 (" + listed(records.first, 5) +
                "), as pandas names columns that have no names, so the line may be a header or a "
                "row. Set header = true if it names the columns, or header = false if it is a "
                "row."};
  }
  return is_first && could_be_names(records.first) ? taken_for_row(records) : HeaderFinding{};
}

/// Whether the first column looks like the index that pandas writes.
bool may_have_index(const FirstRecords& records) {
  return records.like == nullptr && records.first.size() > 1 && records.first.front().empty() &&
         records.second.size() > 1 && records.second.front() == "0";
}

HeaderFinding names_columns_for_sure(const FirstRecords& records) {
  HeaderFinding finding = {true, false, false, {}};
  if (may_have_index(records)) {
    finding.message = place_of_line(records) +
                      "the first column has no name and starts with 0, like the index that pandas "
                      "writes, but it is taken for a feature. If it is an index, save the "
                      "file with index=False.";
  }
  return finding;
}

HeaderFinding all_texts(const FirstRecords& records) {
  const bool may_be_class = records.first.size() == 1 && records.second.size() == 1 &&
                            !is_numeric_cell(records.second.front());
  if (!may_be_class) return names_columns_for_sure(records);
  if (records.like != nullptr) return {!records.like->names.empty(), false, false, {}};
  return {true, true, false,
          place_of_line(records) + in_quotes(records.first.front()) +
              " is taken for the name of the column. Set header = false if it is a class, or "
              "header = true if it isn't."};
}

HeaderFinding texts_and_numbers(const FirstRecords& records) {
  const size_t both = std::min(records.first.size(), records.second.size());
  for (size_t i = 0; i < both; ++i) {
    if (is_numeric_cell(records.first[i]) || !is_numeric_cell(records.second[i])) continue;
    return {false, true, true,
            place_of_line(records) + in_quotes(records.first[i]) +
                " is no number, but stands beside numbers and above " +
                in_quotes(records.second[i]) +
                ", so the line may be a header or a row. Set header = true if it names the "
                "columns; if it is a row, write a number instead and set header = false."};
  }
  const bool is_open =
      records.like == nullptr && !records.second.empty() && could_be_names(records.first);
  return is_open ? taken_for_row(records) : HeaderFinding{};
}

}  // namespace

CsvHeader parse_csv_header(std::string_view word) {
  if (word == "auto") return CsvHeader::detect;
  if (word == "true") return CsvHeader::present;
  if (word == "false") return CsvHeader::absent;
  throw ConfigError::unknown_name("header", word, {"auto", "true", "false"});
}

HeaderFinding find_header(const FirstRecords& records) {
  const bool names_target = records.target_column != "none" &&
                            !is_column_number(records.target_column) &&
                            has_cell(records.first, records.target_column);
  if (names_target || (records.like != nullptr && has_names_of(records.first, *records.like))) {
    return names_columns_for_sure(records);
  }
  const auto numbers = std::count_if(records.first.begin(), records.first.end(), is_numeric_cell);
  if (numbers == 0) return all_texts(records);
  if (numbers == std::ssize(records.first)) return all_numbers(records);
  return texts_and_numbers(records);
}

}  // namespace levin::readers
