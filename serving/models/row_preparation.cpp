#include <levin/serving/models/row_preparation.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>
#include <utility>

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/datamodules/batch_transforms.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/value.h>
#include <levin/serving/models/table_cells.h>
#include <levin/serving/models/wire_types.h>
#include <levin/serving/protocol/refusal.h>
#include <levin/serving/protocol/row_shape.h>

namespace levin {
namespace {

constexpr const char* kInput = "input";

int64_t product_of(at::IntArrayRef sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), int64_t{1},
                         [](int64_t a, int64_t b) { return a * b; });
}

/// Whether rows of these sizes are rows of `shape`.
bool is_shape_of(at::IntArrayRef row, at::IntArrayRef shape) {
  if (row == shape) return true;
  const int64_t elements = product_of(shape);
  if (row.size() == 1) return row.front() == elements;
  return without_ones({row.data(), row.size()}) == without_ones({shape.data(), shape.size()});
}

const Value* settings_of_data_in(const StateDict& checkpoint) {
  const auto& values = checkpoint.values;
  if (!values.contains("hyper_parameters")) return nullptr;
  const auto& settings = values.at("hyper_parameters");
  if (!settings.is_object() || !settings.contains("data")) return nullptr;
  const auto& data = settings.at("data");
  return data.is_object() ? &data : nullptr;
}

/// The steps that the settings of a data module call `transforms`.
std::vector<NamedSettings> transforms_in(const Value* data) {
  std::vector<NamedSettings> list;
  if (data == nullptr || !data->contains("transforms")) return list;
  from_value({{"transforms", &list, "steps"}},
             Value(Value::Object{{"transforms", data->at("transforms")}}), "transforms");
  return list;
}

}  // namespace

RowPreparation::RowPreparation(const StateDict& checkpoint, std::string_view name) {
  const auto description = module_description(checkpoint);
  if (!description || !description->input) {
    throw CheckpointError::io("serve", name,
                              "it doesn't say what the input of its module is; serve a checkpoint "
                              "that a fit saved after its first batch");
  }
  shape_ = description->input->shape;
  const auto type = wire_type_of_dtype(description->input->dtype);
  if (!type) {
    throw CheckpointError::io(
        "serve", name,
        fmt::format("the protocol has no type for inputs of {}", description->input->dtype));
  }
  type_ = *type;
  const StateDict fitted = fitted_state(checkpoint).clone();
  const Value* data = settings_of_data_in(checkpoint);
  standardization_ = Standardization::load(fitted);
  if (fitted.values.contains("table")) {
    table_ = tables::fitted_table_from(fitted.values.at("table"));
    for (const auto& column : table_->columns) columns_.push_back(column.name);
    if (!table_->group.empty()) columns_.push_back(table_->group);
  }
  for (const char* key : {"mnist", "fashion_mnist", "cifar10", "cifar100"}) {
    if (!fitted.values.contains(key)) continue;
    const auto& found = fitted.values.at(key);
    pixels_ = Pixels{.mean = found.at("mean").as_double(), .std = found.at("std").as_double()};
  }
  BatchTransforms transforms(transforms_in(data));
  if (!transforms.empty()) {
    transforms.load(fitted);
    transform_ = transforms.transform();
  }
}

void RowPreparation::describe(ModelMetadata& metadata) const {
  TensorMetadata input{.name = kInput, .type = type_, .shape = {-1}};
  if (table_) {
    input.type = WireType::bytes;
    input.shape.push_back(static_cast<int64_t>(columns_.size()));
    metadata.kind = InputKind::table;
    metadata.columns = columns_;
  } else {
    input.shape.insert(input.shape.end(), shape_.begin(), shape_.end());
    const bool is_image = pixels_ || shape_.size() == 3;
    metadata.kind = is_image && shape_.size() >= 2 ? InputKind::image : InputKind::numbers;
    metadata.bytes_per_row = product_of(shape_) * static_cast<int64_t>(element_size(type_));
  }
  metadata.inputs = {std::move(input)};
}

void RowPreparation::check(const InferenceRequest& request) const {
  if (request.inputs.size() != 1 || request.inputs.front().name != kInput) {
    throw Refusal::malformed("the model has one input, which is called 'input'");
  }
  const auto& input = request.inputs.front();
  const auto columns = static_cast<int64_t>(columns_.size());
  const at::IntArrayRef expected = table_ ? at::IntArrayRef(columns) : at::IntArrayRef(shape_);
  const bool has_rows = !input.shape.empty() && input.shape.front() > 0;
  if (!has_rows || !is_shape_of(at::IntArrayRef(input.shape).slice(1), expected)) {
    throw Refusal::malformed(fmt::format(
        "the model takes inputs of the shape [rows{}{}], with at least one row, but "
        "this one has the shape [{}]",
        expected.empty() ? "" : ", ", fmt::join(expected, ", "), fmt::join(input.shape, ", ")));
  }
  const bool is_cells = table_.has_value();
  if (!(is_cells || converts(input.type, type_))) {
    throw Refusal::malformed(
        fmt::format("the model takes inputs of the type {}, which {} can't be "
                    "converted to",
                    name_of(type_), name_of(input.type)));
  }
  if (input.type == WireType::bytes) {
    bytes_elements(input);  // throws if the lengths are wrong
    return;
  }
  const auto row_bytes = static_cast<size_t>(product_of(expected)) * element_size(input.type);
  const auto rows = static_cast<size_t>(input.rows());
  if (row_bytes == 0 || input.data.size() % row_bytes != 0 ||
      input.data.size() / row_bytes != rows) {
    throw Refusal::malformed("the data of the input don't have the length that its shape says");
  }
}

torch::Tensor RowPreparation::buffer(int64_t rows) {
  if (!buffer_.defined() || buffer_.size(0) < rows) {
    std::vector<int64_t> sizes = {rows};
    sizes.insert(sizes.end(), shape_.begin(), shape_.end());
    buffer_ = at::empty(sizes, at::TensorOptions(*scalar_type_of(type_)));
  }
  return buffer_.narrow(0, 0, rows);
}

/// Writes rows to those of `all` from `begin` on, scaled if they are pixels.
void RowPreparation::read_numbers(const Part& part, const torch::Tensor& all, int64_t begin) const {
  const auto& input = *part.input;
  const auto row_bytes = static_cast<size_t>(product_of(shape_)) * element_size(input.type);
  const char* data = input.data.data() + static_cast<size_t>(part.begin) * row_bytes;
  const bool is_scaled =
      pixels_ && (input.type == WireType::uint8 || pixels_->mean != 0.0 || pixels_->std != 1.0);
  const bool is_converted = input.type != type_;
  if (!is_converted) {  // without LibTorch's dispatch, which takes longer
    std::memcpy(static_cast<char*>(all.data_ptr()) + static_cast<size_t>(begin) * row_bytes, data,
                static_cast<size_t>(part.rows) * row_bytes);
    if (!is_scaled) return;
  }
  auto to = all.narrow(0, begin, part.rows);
  if (is_converted) {
    to.copy_(at::from_blob(const_cast<char*>(data), to.sizes(),
                           at::TensorOptions(*scalar_type_of(input.type))));
  }
  if (!is_scaled) return;
  const auto [mean, std] = *pixels_;
  if (input.type == WireType::uint8) {  // in the numbers that scaled bytes of data sets have
    to.sub_(static_cast<float>(255.0 * mean)).mul_(static_cast<float>(1.0 / (255.0 * std)));
  } else {
    to.sub_(mean).div_(std);
  }
}

torch::Tensor RowPreparation::read_cells(const Part& part, std::vector<int64_t>& groups) const {
  const auto features =
      table_features(*table_, columns_, *part.input, part.begin, part.rows, groups);
  return at::from_blob(const_cast<double*>(features.data()), {part.rows, table_->width()},
                       at::kDouble)
      .to(*scalar_type_of(type_), /*non_blocking=*/false, /*copy=*/true);
}

Batch RowPreparation::made(const std::vector<Part>& parts) {
  int64_t rows = 0;
  for (const auto& part : parts) rows += part.rows;
  auto input = buffer(rows);
  std::vector<int64_t> groups;
  int64_t begin = 0;
  for (const auto& part : parts) {
    if (table_) {
      input.narrow(0, begin, part.rows).copy_(read_cells(part, groups));
    } else {
      read_numbers(part, input, begin);
    }
    begin += part.rows;
  }
  if (standardization_) input = standardization_->apply(input, kInput);
  Batch batch({{kInput, input}});
  if (!groups.empty()) {
    batch.set("group", at::from_blob(groups.data(), {rows}, at::kLong).clone());
  }
  transform(batch);
  return batch;
}

void RowPreparation::transform(Batch& batch) const {
  if (!transform_) return;
  std::vector<int64_t> positions(static_cast<size_t>(batch.rows()));
  std::iota(positions.begin(), positions.end(), int64_t{0});
  transform_(batch, {.positions = positions, .augment = false});
}

Batch RowPreparation::batch(const std::vector<const InferenceRequest*>& requests) {
  std::vector<Part> parts;
  parts.reserve(requests.size());
  for (const auto* request : requests) {
    parts.push_back({.input = &request->inputs.front(), .begin = 0, .rows = request->rows()});
  }
  return made(parts);
}

Batch RowPreparation::part(const InferenceRequest& request, int64_t begin, int64_t rows) {
  return made({{.input = &request.inputs.front(), .begin = begin, .rows = rows}});
}

Batch RowPreparation::example() const {
  std::vector<int64_t> sizes = {1};
  sizes.insert(sizes.end(), shape_.begin(), shape_.end());
  Batch batch({{kInput, at::zeros(sizes, at::TensorOptions(*scalar_type_of(type_)))}});
  if (table_ && !table_->group.empty()) batch.set("group", at::zeros({1}, at::kLong));
  return batch;
}

}  // namespace levin
