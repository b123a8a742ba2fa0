#include <levin/cli/predictions_csv.h>

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <iterator>
#include <utility>

#include <ATen/Tensor.h>
#include <c10/core/ScalarType.h>
#include <fmt/format.h>

#include <levin/framework/core/csv_cell.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/unsigned_nan.h>

namespace levin {
namespace {

using Names = std::vector<std::string>;

/// The values of one tensor as [rows, n] int64, float32 or float64, with the n names of its
/// columns.
struct CsvColumns {
  torch::Tensor values;
  Names names;
  const Names* names_of_numbers = nullptr;  // null: numbers have no names
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
                       const torch::Tensor& tensor, const Names& class_names,
                       const Names& group_names) {
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
    if (name != "class" && name != "group") return columns;
    const Names& own = name == "class" ? class_names : group_names;
    if (columns.values.scalar_type() != at::kLong || own.empty()) return columns;
    columns.names_of_numbers = &own;
    columns.names.push_back(name + "_name");
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
  for (int64_t i = 0; i < count; ++i) {
    fmt::format_to(std::back_inserter(line), "{},", unsigned_nan(values[i]));
  }
}

void append_row(const CsvColumns& columns, int64_t row, std::string& line) {
  const auto type = columns.values.scalar_type();
  if (type == at::kFloat) return append_numbers<float>(columns, row, line);
  if (type == at::kDouble) return append_numbers<double>(columns, row, line);
  append_numbers<int64_t>(columns, row, line);
  if (columns.names_of_numbers == nullptr) return;
  const Names& names = *columns.names_of_numbers;
  const int64_t number = columns.values.const_data_ptr<int64_t>()[row];
  const bool has_name = number >= 0 && number < std::ssize(names);
  line += has_name ? csv_cell(names[static_cast<size_t>(number)]) : std::to_string(number);
  line += ',';
}

}  // namespace

PredictionsCsv::PredictionsCsv(std::filesystem::path path, std::vector<std::string> class_names,
                               RowKeys keys, std::vector<std::string> group_names)
    : path_(std::move(path)),
      temporary_(path_),
      class_names_(std::move(class_names)),
      group_names_(std::move(group_names)),
      keys_(std::move(keys)) {
  temporary_ += fmt::format(".tmp-{}", ::getpid());
}

PredictionsCsv::~PredictionsCsv() {
  if (has_header_ && !is_finished_) std::remove(temporary_.c_str());
}

void PredictionsCsv::write_header(const Names& names) {
  if (path_.has_parent_path()) files::create_folder(path_.parent_path());
  file_ = files::AppendFile(temporary_, 0);
  has_header_ = true;
  names_ = names;
  std::string line;
  if (!keys_.name.empty()) line += csv_cell(keys_.name) + ',';
  for (const auto& name : names) line += csv_cell(name) + ',';
  if (line.empty()) return;
  line.back() = '\n';  // in place of the last comma
  file_.append(line);
}

void PredictionsCsv::add(const NamedTensors& predictions) {
  if (predictions.empty()) return;
  std::vector<CsvColumns> all;
  Names names;
  const int64_t rows = predictions.front().second.size(0);
  for (const auto& [name, tensor] : predictions) {
    all.push_back(csv_columns(path_.string(), name, tensor, class_names_, group_names_));
    names.insert(names.end(), all.back().names.begin(), all.back().names.end());
    if (tensor.size(0) == rows) continue;
    throw ConfigError::invalid_value(
        "--output", path_.string(),
        fmt::format("a .csv holds columns of one length, but '{}' has {} rows and '{}' has {}; use "
                    ".npz",
                    predictions.front().first, rows, name, tensor.size(0)));
  }
  if (!has_header_) write_header(names);
  if (names != names_) {
    throw ConfigError::invalid_value(
        "--output", path_.string(),
        fmt::format("a .csv has the same columns in each line, but the predictions of row {} have "
                    "others than those before; use .npz",
                    rows_));
  }
  const bool has_keys = !keys_.name.empty();
  const auto keys = has_keys ? keys_.of(rows_, rows) : Names();
  std::string text;
  for (int64_t row = 0; row < rows; ++row) {
    if (has_keys) text += csv_cell(keys.at(static_cast<size_t>(row))) + ',';
    for (const auto& columns : all) append_row(columns, row, text);
    if (!text.empty()) text.back() = '\n';
  }
  file_.append(text);
  rows_ += rows;
}

void PredictionsCsv::finish() {
  if (!has_header_) write_header({});
  file_.close();
  files::move_into_place(temporary_, path_);
  is_finished_ = true;
}

void write_predictions_csv(const std::filesystem::path& path, const NamedTensors& predictions,
                           const std::vector<std::string>& class_names, const RowKeys& keys) {
  PredictionsCsv file(path, class_names, keys);
  file.add(predictions);
  file.finish();
}

}  // namespace levin
