#include <levin/serving/protocol/predict_csv.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/csv_format.h>
#include <levin/datamodules/readers/text.h>
#include <levin/serving/protocol/refusal.h>
#include <levin/serving/protocol/tensor_numbers.h>

namespace levin {

namespace {

constexpr std::string_view kBodyName = "the body";

readers::CsvFormat csv_of(const std::string& body) {
  return {body, kBodyName, {.header = readers::CsvHeader::absent}, readers::DType::float64};
}

/// Calls `each(cells, line)` for every record.
template <class Each>
void for_each_record(const std::string& body, const Each& each) {
  const auto csv = csv_of(body);
  readers::TextRecord record;
  std::vector<std::string> cells(csv.columns().size());
  int64_t line = csv.first_line();
  for (size_t at = csv.begin(); at < body.size(); at = record.next, line += record.lines) {
    csv.read_record(body, at, line, record);
    if (csv.is_blank(record)) continue;
    csv.for_each_cell(record, line, [&](std::string_view cell, size_t column) {
      cells[column] = readers::trimmed(cell);
    });
    each(cells, line);
  }
}

/// Where the model's columns are in a line: in order, unless the first line names them. Throws
/// Refusal if it names at least half of them, but not all.
std::vector<size_t> places_of(const std::vector<std::string>& first,
                              const std::vector<std::string>& columns, bool& is_header) {
  const auto is_named = [&](const std::string& name) {
    return std::find(first.begin(), first.end(), name) != first.end();
  };
  const auto named = std::count_if(columns.begin(), columns.end(), is_named);
  is_header = named == std::ssize(columns) && named > 0;
  if (!is_header && named > 0 && 2 * named >= std::ssize(columns)) {
    const auto& lacking = *std::find_if_not(columns.begin(), columns.end(), is_named);
    throw Refusal::malformed(
        fmt::format("the first line names columns, but not {}; those of the model are {}",
                    readers::in_quotes(lacking), fmt::join(columns, ", ")));
  }
  std::vector<size_t> places(is_header ? columns.size() : first.size());
  std::iota(places.begin(), places.end(), size_t{0});
  if (!is_header) return places;
  for (size_t i = 0; i < columns.size(); ++i) {
    const auto found = std::find(first.begin(), first.end(), columns[i]);
    if (std::find(found + 1, first.end(), columns[i]) != first.end()) {
      throw Refusal::malformed(
          fmt::format("the first line names the column {} twice", readers::in_quotes(columns[i])));
    }
    places[i] = static_cast<size_t>(found - first.begin());
  }
  return places;
}

WireTensor csv_table(const std::string& body, const ModelMetadata& model) {
  WireTensor tensor{.name = model.inputs.front().name, .type = WireType::bytes};
  std::vector<size_t> places;
  bool is_first = true;
  int64_t rows = 0;
  for_each_record(body, [&](const std::vector<std::string>& cells, int64_t line) {
    bool is_header = false;
    if (is_first) places = places_of(cells, model.columns, is_header);
    is_first = false;
    if (is_header) return;
    if (places.size() != model.columns.size()) {
      throw Refusal::malformed(fmt::format("line {} has {} cells, but the model has {} columns: {}",
                                           line, cells.size(), model.columns.size(),
                                           fmt::join(model.columns, ", ")));
    }
    for (const size_t place : places) append_bytes_element(tensor.data, cells[place]);
    ++rows;
  });
  tensor.shape = {rows, static_cast<int64_t>(model.columns.size())};
  return tensor;
}

WireTensor csv_numbers(const std::string& body, const ModelMetadata& model) {
  const auto& input = model.inputs.front();
  WireTensor tensor{.name = input.name, .type = type_in_text(input.type), .shape = input.shape};
  const bool varies = std::any_of(input.shape.begin() + (input.shape.empty() ? 0 : 1),
                                  input.shape.end(), [](int64_t size) { return size < 0; });
  if (!tensor.shape.empty()) tensor.shape.front() = 1;
  const auto width = static_cast<uint64_t>(varies ? 0 : tensor.elements());
  uint64_t found = 0;
  int64_t rows = 0;
  bool is_first = true;
  for_each_record(body, [&](const std::vector<std::string>& cells, int64_t line) {
    double value = 0.0;
    // A first line without any number names the columns.
    const bool is_header =
        is_first && std::none_of(cells.begin(), cells.end(), [&](const std::string& cell) {
          return readers::parse_number(cell, value);
        });
    is_first = false;
    if (is_header) return;
    found = cells.size();
    if (!varies && found != width) {
      throw Refusal::malformed(
          fmt::format("line {} has {} cells, but a row of the model has {}", line, found, width));
    }
    for (size_t column = 0; column < cells.size(); ++column) {
      const bool is_number = readers::parse_number(cells[column], value);
      if (is_number && append_number(tensor, value)) continue;
      throw Refusal::malformed(fmt::format("line {}, column {}: {} isn't a number of type {}", line,
                                           column + 1, readers::in_quotes(cells[column]),
                                           name_of(tensor.type)));
    }
    ++rows;
  });
  tensor.shape.assign(1, rows);
  if (varies) {
    tensor.shape.push_back(static_cast<int64_t>(found));
  } else if (!input.shape.empty()) {
    tensor.shape.insert(tensor.shape.end(), input.shape.begin() + 1, input.shape.end());
  }
  return tensor;
}

}  // namespace

WireTensor csv_rows(const std::string& body, const ModelMetadata& model) {
  const bool is_table = !model.columns.empty() && model.inputs.front().type == WireType::bytes;
  auto tensor = is_table ? csv_table(body, model) : csv_numbers(body, model);
  if (tensor.rows() == 0) throw Refusal::malformed("the body has no rows");
  return tensor;
}

}  // namespace levin
