#include <levin/serving/protocol/predict_rows.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <numeric>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/datamodules/readers/npy.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/small_letters.h>
#include <levin/serving/protocol/predict_csv.h>
#include <levin/serving/protocol/predict_json.h>
#include <levin/serving/protocol/row_shape.h>

namespace levin {

namespace {

enum class RowsFormat { json, csv, npy };

constexpr std::string_view kNpyMagic = "\x93NUMPY";

/// A media type without its parameters, in small letters.
std::string media_type(std::string_view header) {
  std::string type(header.substr(0, header.find(';')));
  type.erase(std::remove_if(type.begin(), type.end(), [](char c) { return c == ' ' || c == '\t'; }),
             type.end());
  return to_small_letters(type);
}

RowsFormat rows_format(std::string_view content_type, std::string_view body) {
  const auto type = media_type(content_type);
  if (type == "application/json") return RowsFormat::json;
  if (type == "text/csv") return RowsFormat::csv;
  if (type == "application/x-npy") return RowsFormat::npy;
  if (body.substr(0, kNpyMagic.size()) == kNpyMagic) return RowsFormat::npy;
  const bool says_little = type.empty() || type == "application/octet-stream" ||
                           type == "text/plain" || type == "application/x-www-form-urlencoded";
  const size_t first = body.find_first_not_of(" \t\r\n");
  const bool looks_like_json =
      first != std::string_view::npos && (body[first] == '{' || body[first] == '[');
  if (says_little && looks_like_json) return RowsFormat::json;
  if (says_little && !type.empty() && type != "application/octet-stream") return RowsFormat::csv;
  throw Refusal::unsupported(
      "the body must be JSON (Content-Type: application/json), CSV (text/csv) or .npy "
      "(application/x-npy)");
}

WireType type_of(readers::DType type) {
  switch (type) {
    case readers::DType::bool_:
      return WireType::boolean;
    case readers::DType::uint8:
      return WireType::uint8;
    case readers::DType::uint16:
      return WireType::uint16;
    case readers::DType::uint32:
      return WireType::uint32;
    case readers::DType::uint64:
      return WireType::uint64;
    case readers::DType::int8:
      return WireType::int8;
    case readers::DType::int16:
      return WireType::int16;
    case readers::DType::int32:
      return WireType::int32;
    case readers::DType::int64:
      return WireType::int64;
    case readers::DType::float16:
      return WireType::fp16;
    case readers::DType::float32:
      return WireType::fp32;
    case readers::DType::float64:
      return WireType::fp64;
  }
  throw Refusal::unsupported("the elements of the array have a type that isn't served");
}

/// Whether an array of this shape is one row of the model rather than several.
bool is_one_row(const std::vector<int64_t>& shape, const TensorMetadata& input) {
  const std::vector<int64_t> row(input.shape.begin() + (input.shape.empty() ? 0 : 1),
                                 input.shape.end());
  if (shape.size() == row.size() &&
      std::equal(shape.begin(), shape.end(), row.begin(),
                 [](int64_t a, int64_t b) { return a == b || b < 0; })) {
    return true;
  }
  if (shape.empty() || std::find(row.begin(), row.end(), -1) != row.end()) return false;
  const auto product = [](auto begin, auto end) {
    return std::accumulate(begin, end, int64_t{1}, std::multiplies<>());
  };
  const int64_t elements = product(row.begin(), row.end());
  return shape.front() > 0 && product(shape.begin(), shape.end()) == elements &&
         product(shape.begin() + 1, shape.end()) != elements && is_row_shape(shape, row);
}

WireTensor npy_rows(const std::string& body, const TensorMetadata& input) {
  const auto bytes = readers::bytes_of(body);
  const auto array = readers::parse_npy({bytes.begin(), bytes.end()}, "the body");
  WireTensor tensor{.name = input.name, .type = type_of(array.dtype), .shape = array.shape};
  tensor.data.assign(reinterpret_cast<const char*>(array.bytes.data()), array.bytes.size());
  const auto& shape = tensor.shape;
  if (is_one_row(shape, input)) tensor.shape.insert(tensor.shape.begin(), 1);
  if (tensor.shape.empty() || tensor.elements() == 0) {
    throw Refusal::malformed(
        fmt::format("the array is [{}], which has no rows", fmt::join(shape, ", ")));
  }
  return tensor;
}

}  // namespace

InferenceRequest parse_predict_rows(std::string_view content_type, const std::string& body,
                                    const ModelMetadata& model) {
  const auto format = rows_format(content_type, body);
  if (model.inputs.size() != 1) {
    throw Refusal::malformed(
        fmt::format("{} has {} inputs, which plain rows can't fill; use /v2/models/.../infer",
                    readers::in_quotes(model.name), model.inputs.size()));
  }
  InferenceRequest request{.model = model.name, .version = model.version};
  try {
    switch (format) {
      case RowsFormat::json:
        request.inputs.push_back(json_rows(body, model));
        break;
      case RowsFormat::csv:
        request.inputs.push_back(csv_rows(body, model));
        break;
      case RowsFormat::npy:
        request.inputs.push_back(npy_rows(body, model.inputs.front()));
        break;
    }
  } catch (const DataError& error) {
    throw Refusal::malformed(error.what());
  }
  return request;
}

}  // namespace levin
