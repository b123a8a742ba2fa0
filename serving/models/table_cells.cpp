#include <levin/serving/models/table_cells.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

#include <ATen/ops/from_blob.h>
#include <fmt/format.h>

#include <levin/datamodules/tables/apply_table.h>
#include <levin/datamodules/tables/text_table.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/number_in.h>
#include <levin/serving/models/wire_types.h>
#include <levin/serving/protocol/refusal.h>

namespace levin {
namespace {

constexpr std::string_view kRowsName = "the rows";

void append_quoted_cell(std::string& csv, std::string_view cell) {
  const auto first = cell.find_first_not_of(" \t");
  cell = first == std::string_view::npos
             ? std::string_view()
             : cell.substr(first, cell.find_last_not_of(" \t") - first + 1);
  csv += '"';
  for (const char c : cell) {
    if (c == '"') csv += '"';
    csv += c;
  }
  csv += '"';
}

std::string text_of_number(double number, const tables::FittedTable& fitted) {
  if (!std::isnan(number)) return fmt::format("{}", number);
  return fitted.is_missing("") ? "" : "nan";
}

/// The cells of the rows, of which those of numbers are written into `texts`.
std::vector<std::string_view> cells_of(const WireTensor& input, size_t begin, size_t count,
                                       const tables::FittedTable& fitted,
                                       std::vector<std::string>& texts) {
  if (input.type == WireType::bytes) {
    const auto all = bytes_elements(input);
    return {all.begin() + static_cast<std::ptrdiff_t>(begin),
            all.begin() + static_cast<std::ptrdiff_t>(begin + count)};
  }
  const char* data = input.data.data() + begin * element_size(input.type);
  const auto numbers = at::from_blob(const_cast<char*>(data), {static_cast<int64_t>(count)},
                                     at::TensorOptions(*scalar_type_of(input.type)))
                           .to(at::kDouble);
  const auto* values = numbers.const_data_ptr<double>();
  texts.reserve(count);
  for (size_t i = 0; i < count; ++i) texts.push_back(text_of_number(values[i], fitted));
  return {texts.begin(), texts.end()};
}

/// A message about the text that table_features makes, with the row of the request in place of the
/// line. `first_row` is the request's row in the second line, counted from 0.
std::string with_row(std::string_view message, std::string_view csv, int64_t first_row,
                     size_t width) {
  constexpr std::string_view kPlace = ", line ";
  if (!message.starts_with(kRowsName) || !message.substr(kRowsName.size()).starts_with(kPlace)) {
    return std::string(message);
  }
  const std::string_view rest = message.substr(kRowsName.size() + kPlace.size());
  const size_t comma = std::min(rest.find(','), rest.size());
  const auto line = number_in<int64_t>(rest.substr(0, comma)).value_or(0);
  // A cell may have several lines.
  int64_t cells = 0;
  bool is_quoted = false;
  int64_t at = 1;
  for (const char c : csv) {
    if (at == line) break;
    if (c == '"') is_quoted = !is_quoted;
    if (!is_quoted && (c == ',' || c == '\n')) ++cells;
    if (c == '\n') ++at;
  }
  const int64_t row = first_row + cells / static_cast<int64_t>(width);  // the names are a row, too
  return fmt::format("row {} of the request{}", row, rest.substr(comma));
}

}  // namespace

std::vector<double> table_features(const tables::FittedTable& fitted,
                                   const std::vector<std::string>& columns, const WireTensor& input,
                                   int64_t begin, int64_t rows, std::vector<int64_t>& groups) {
  const size_t width = columns.size();
  std::vector<std::string> texts;
  const auto cells = cells_of(input, static_cast<size_t>(begin) * width,
                              static_cast<size_t>(rows) * width, fitted, texts);
  std::string csv;
  for (size_t column = 0; column < width; ++column) {
    if (column > 0) csv += ',';
    append_quoted_cell(csv, columns[column]);
  }
  csv += '\n';
  for (size_t i = 0; i < cells.size(); ++i) {
    append_quoted_cell(csv, cells[i]);
    csv += (i + 1) % width == 0 ? '\n' : ',';
  }
  try {
    const auto table = tables::TextTable::parse(csv, std::string(kRowsName));
    if (!fitted.group.empty()) {
      for (const int64_t group : tables::groups_of(fitted, table)) groups.push_back(group);
    }
    return tables::features_of(fitted, table, fitted.unknown, std::numeric_limits<float>::max());
  } catch (const DataError& error) {
    throw Refusal::malformed(with_row(error.what(), csv, begin, width));
  }
}

}  // namespace levin
