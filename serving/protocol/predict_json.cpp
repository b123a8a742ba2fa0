#include <levin/serving/protocol/predict_json.h>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/serving/protocol/json_document.h>
#include <levin/serving/protocol/json_tensor.h>
#include <levin/serving/protocol/json_text.h>
#include <levin/serving/protocol/refusal.h>
#include <levin/serving/protocol/row_shape.h>
#include <levin/serving/protocol/tensor_numbers.h>

namespace levin {

namespace {

using simdjson::SUCCESS;
using simdjson::dom::array;
using simdjson::dom::element;

constexpr size_t kMostTableBytes = size_t{256} << 20;

/// A cell of a table as the text that a CSV file would have. Throws Refusal for arrays and objects.
std::string cell_text(element value, std::string_view where) {
  std::string text;
  if (std::string_view given; value.get(given) == SUCCESS) return std::string(given);
  if (value.is_null()) return text;
  if (bool truth = false; value.get(truth) == SUCCESS) {
    append_json(text, truth);
  } else if (int64_t integer = 0; value.get(integer) == SUCCESS) {
    append_json(text, integer);
  } else if (uint64_t positive = 0; value.get(positive) == SUCCESS) {
    append_json(text, positive);
  } else if (double number = 0.0; value.get(number) == SUCCESS) {
    append_json(text, number);
  } else {
    throw Refusal::malformed(
        fmt::format("{} must be a text or a number, but is {}", where, kind_of(value)));
  }
  return text;
}

/// Appends the cells of a row of a table to `tensor`.
class TableRow {
 public:
  TableRow(const ModelMetadata& model, WireTensor& tensor)
      : columns_(model.columns), tensor_(tensor) {
    for (size_t i = 0; i < columns_.size(); ++i) places_.emplace(columns_[i], i);
  }

  void append(element row, const std::string& where) {
    if (array cells; row.get(cells) == SUCCESS) {
      append_cells(cells, where);
    } else if (simdjson::dom::object object; row.get(object) == SUCCESS) {
      append_object(object, where);
    } else {
      throw Refusal::malformed(
          fmt::format("{} must be an array of cells or an object, but is {}", where, kind_of(row)));
    }
  }

 private:
  void append_cells(array cells, const std::string& where) {
    size_t count = 0;
    for (const element cell : cells) {
      if (count++ >= columns_.size()) continue;
      append_bytes_element(tensor_.data, cell_text(cell, fmt::format("{}[{}]", where, count - 1)));
    }
    if (count == columns_.size()) return;
    throw Refusal::malformed(fmt::format("{} has {} cells, but the model has {} columns: {}", where,
                                         count, columns_.size(), fmt::join(columns_, ", ")));
  }

  void append_object(simdjson::dom::object object, const std::string& where) {
    cells_.assign(columns_.size(), {});
    for (const auto field : object) {
      const auto column = places_.find(field.key);
      if (column == places_.end()) {
        throw Refusal::malformed(
            fmt::format("{} has {}, which isn't a column of the model; its columns are {}", where,
                        readers::in_quotes(field.key), fmt::join(columns_, ", ")));
      }
      const auto path = fmt::format("{}.{}", where, field.key);
      cells_[column->second] = cell_text(field.value, path);
    }
    for (const auto& cell : cells_) append_bytes_element(tensor_.data, cell);
    // A short object stands for a cell of each column.
    if (tensor_.data.size() > kMostTableBytes) {
      throw Refusal::too_large(
          fmt::format("{}: the cells of so many rows don't fit into {} bytes; "
                      "send fewer rows at a time",
                      where, kMostTableBytes));
    }
  }

  const std::vector<std::string>& columns_;
  WireTensor& tensor_;
  std::unordered_map<std::string_view, size_t> places_{};
  std::vector<std::string> cells_{};
};

void read_table(array rows, const ModelMetadata& model, WireTensor& tensor) {
  TableRow table(model, tensor);
  int64_t count = 0;
  for (const element row : rows) table.append(row, fmt::format("rows[{}]", count++));
  tensor.shape = {count, static_cast<int64_t>(model.columns.size())};
}

/// Sets the only size of a row that may vary, if there is one, to what the first row has.
void settle_row_shape(WireTensor& row, element first) {
  const auto varying = std::count(row.shape.begin(), row.shape.end(), -1);
  if (varying == 0) return;
  array values;
  uint64_t known = 1;
  for (const int64_t size : row.shape) known *= size < 0 ? 1 : static_cast<uint64_t>(size);
  const uint64_t found = first.get(values) == SUCCESS ? count_json(values) : 1;
  if (varying > 1 || known == 0 || found == 0 || found % known != 0) {
    throw Refusal::malformed(fmt::format(
        "rows[0] has {} elements, which don't tell its shape; use /v2/models/.../infer", found));
  }
  std::replace(row.shape.begin(), row.shape.end(), int64_t{-1},
               static_cast<int64_t>(found / known));
}

/// Throws Refusal if the arrays of a row are nested in another order than the model's, such as
/// [28][28][3] for [3][28][28], which has as many numbers.
void check_nesting(element value, const std::vector<int64_t>& shape, std::string_view where) {
  array values;
  if (value.get(values) != SUCCESS || values.begin() == values.end()) return;
  if (!(*values.begin()).is_array()) return;  // most rows are flat, and need no memory here
  std::vector<int64_t> found;
  while (value.get(values) == SUCCESS && values.begin() != values.end()) {
    found.push_back(static_cast<int64_t>(values.size()));
    value = *values.begin();
  }
  if (is_row_shape(found, shape)) return;
  throw Refusal::malformed(
      fmt::format("{} has the shape [{}], but a row of the model has [{}]; nest it so, or send its "
                  "numbers in one array",
                  where, fmt::join(found, ", "), fmt::join(shape, ", ")));
}

void read_number_rows(array rows, size_t most, WireTensor& tensor) {
  WireTensor row{
      .type = tensor.type,
      .shape = {tensor.shape.begin() + (tensor.shape.empty() ? 0 : 1), tensor.shape.end()}};
  int64_t count = 0;
  for (const element value : rows) {
    const auto where = fmt::format("rows[{}]", count);
    if (count == 0) settle_row_shape(row, value);
    if (value.is_number() && row.elements() == 1) {
      // A row of one number needs no brackets.
      read_json_number(value, where, row);
    } else {
      read_json_data(value, most, where, row);
      check_nesting(value, row.shape, where);
    }
    tensor.data += row.data;
    ++count;
  }
  tensor.shape = {count};
  tensor.shape.insert(tensor.shape.end(), row.shape.begin(), row.shape.end());
}

}  // namespace

WireTensor json_rows(const std::string& body, const ModelMetadata& model) {
  const JsonDocument document(body, body.size());
  const JsonObject root(document.object(), "");
  array rows;
  if (!root.find("rows", rows) && !root.find("instances", rows)) root.missing("rows");
  if (rows.begin() == rows.end()) throw Refusal::malformed("rows is empty");
  const auto& input = model.inputs.front();
  WireTensor tensor{.name = input.name, .type = type_in_text(input.type), .shape = input.shape};
  if (model.columns.empty() || input.type != WireType::bytes) {
    read_number_rows(rows, body.size(), tensor);
  } else {
    read_table(rows, model, tensor);
  }
  return tensor;
}

}  // namespace levin
