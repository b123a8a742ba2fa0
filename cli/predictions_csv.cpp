#include <levin/cli/predictions_csv.h>

#include <cstdint>
#include <iterator>

#include <ATen/Tensor.h>
#include <c10/core/ScalarType.h>
#include <fmt/format.h>

#include <levin/framework/core/csv_cell.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>

namespace levin {
namespace {

using Names = std::vector<std::string>;

/// The values of one tensor as [rows, n] int64, float32 or float64, with the n names of its
/// columns.
struct CsvColumns {
  torch::Tensor values;
  Names names;
  bool are_classes = false;
};

torch::Tensor plain_numbers(const torch::Tensor& tensor) {
  auto type = tensor.scalar_type();
  if (c10::isIntegralType(type, /*includeBool=*/true)) type = at::kLong;
  if (type == at::kHalf || type == at::kBFloat16) type = at::kFloat;
  if (type != at::kLong && type != at::kFloat && type != at::kDouble) {
    throw ModuleError::contract(
        "predict_step", fmt::format("an output is of type {}", c10::toString(type)),
        "return tensors of bool, integers, float16, bfloat16, float32 or float64");
  }
  return tensor.detach().cpu().to(type);
}

CsvColumns csv_columns(const std::string& path, const std::string& name,
                       const torch::Tensor& tensor, const Names& class_names) {
  if (tensor.dim() != 1 && tensor.dim() != 2) {
    throw ConfigError::invalid_value(
        "--output", path,
        fmt::format("a .csv holds columns, but '{}' has {} dimensions; use .npz", name,
                    tensor.dim()));
  }
  CsvColumns columns;
  columns.values = plain_numbers(tensor.dim() == 1 ? tensor.unsqueeze(1) : tensor).contiguous();
  const int64_t count = columns.values.size(1);
  if (count == 1) {
    columns.names = {name};
    columns.are_classes =
        name == "class" && columns.values.scalar_type() == at::kLong && !class_names.empty();
    if (columns.are_classes) columns.names.push_back("class_name");
    return columns;
  }
  const bool has_names = count == std::ssize(class_names);
  for (int64_t i = 0; i < count; ++i) {
    const auto column = has_names ? class_names[static_cast<size_t>(i)] : std::to_string(i);
    columns.names.push_back(fmt::format("{}_{}", name, column));
  }
  return columns;
}

template <class T>
void append_numbers(const CsvColumns& columns, int64_t row, std::string& line) {
  const int64_t count = columns.values.size(1);
  const T* values = columns.values.const_data_ptr<T>() + row * count;
  for (int64_t i = 0; i < count; ++i) fmt::format_to(std::back_inserter(line), "{},", values[i]);
}

void append_row(const CsvColumns& columns, int64_t row, const Names& class_names,
                std::string& line) {
  const auto type = columns.values.scalar_type();
  if (type == at::kFloat) return append_numbers<float>(columns, row, line);
  if (type == at::kDouble) return append_numbers<double>(columns, row, line);
  append_numbers<int64_t>(columns, row, line);
  if (!columns.are_classes) return;
  const int64_t number = columns.values.const_data_ptr<int64_t>()[row];
  const bool has_name = number >= 0 && number < std::ssize(class_names);
  line += has_name ? csv_cell(class_names[static_cast<size_t>(number)]) : std::to_string(number);
  line += ',';
}

}  // namespace

void write_predictions_csv(const std::filesystem::path& path, const NamedTensors& predictions,
                           const std::vector<std::string>& class_names, const RowKeys& keys) {
  std::vector<CsvColumns> all;
  std::string text;
  const bool has_keys = !keys.name.empty();
  if (has_keys) text += csv_cell(keys.name) + ',';
  for (const auto& [name, tensor] : predictions) {
    all.push_back(csv_columns(path.string(), name, tensor, class_names));
    for (const auto& column : all.back().names) text += csv_cell(column) + ',';
    if (tensor.size(0) == predictions.front().second.size(0)) continue;
    throw ConfigError::invalid_value(
        "--output", path.string(),
        fmt::format("a .csv holds columns of one length, but '{}' has {} rows and '{}' has {}; use "
                    ".npz",
                    predictions.front().first, predictions.front().second.size(0), name,
                    tensor.size(0)));
  }
  const auto end_line = [&text] {
    if (!text.empty()) text.back() = '\n';  // in place of the last comma
  };
  end_line();
  const int64_t rows = predictions.empty() ? 0 : predictions.front().second.size(0);
  for (int64_t row = 0; row < rows; ++row) {
    if (has_keys) text += csv_cell(keys.texts.at(static_cast<size_t>(row))) + ',';
    for (const auto& columns : all) append_row(columns, row, class_names, text);
    end_line();
  }
  files::write_atomically(path, text);
}

}  // namespace levin
