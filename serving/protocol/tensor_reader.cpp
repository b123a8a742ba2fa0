#include <levin/serving/protocol/tensor_reader.h>

#include <array>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/framework/core/number_in.h>
#include <levin/serving/protocol/json_tensor.h>
#include <levin/serving/protocol/json_text.h>
#include <levin/serving/protocol/refusal.h>

namespace levin {

namespace {

/// The most tensors of a body, far more than any model has.
constexpr size_t kMostTensors = 1024;
constexpr std::array<std::string_view, 2> kSharedMemory = {"shared_memory_region",
                                                           "shared_memory_byte_size"};

size_t json_length_of(const std::string& body, std::string_view text) {
  if (text.empty()) return body.size();
  const auto length = number_in<size_t>(text);
  if (!length) {
    throw Refusal::malformed(
        fmt::format("Inference-Header-Content-Length is {}, which isn't a number of bytes",
                    readers::in_quotes(text)));
  }
  if (*length > body.size()) {
    throw Refusal::malformed(
        fmt::format("Inference-Header-Content-Length is {}, but the body has only {} bytes",
                    *length, body.size()));
  }
  return *length;
}

}  // namespace

TensorReader::TensorReader(const std::string& body, std::string_view json_length)
    : rest_(body), json_bytes_(json_length_of(body, json_length)) {
  rest_.remove_prefix(json_bytes_);
}

TensorReader::TensorReader(std::string&& body, std::string_view json_length)
    : TensorReader(std::as_const(body), json_length) {
  own_body_ = &body;
}

std::vector<WireTensor> TensorReader::read(const JsonObject& root, std::string_view name,
                                           int64_t smallest) {
  simdjson::dom::array array;
  if (!root.find(name, array)) root.missing(name);
  std::vector<WireTensor> tensors;
  for (const simdjson::dom::element value : array) {
    const auto where = root.path(name) + '[' + std::to_string(tensors.size()) + ']';
    simdjson::dom::object object;
    if (value.get(object) != simdjson::SUCCESS) {
      throw Refusal::malformed(
          fmt::format("{} must be an object, but is {}", where, kind_of(value)));
    }
    if (tensors.size() == kMostTensors) {
      throw Refusal::malformed(
          fmt::format("{} has more than {} tensors", root.path(name), kMostTensors));
    }
    tensors.push_back(read_one(JsonObject(object, where), smallest));
    for (size_t i = 0; i + 1 < tensors.size(); ++i) {
      if (tensors[i].name != tensors.back().name) continue;
      throw Refusal::malformed(fmt::format("{}.name is {}, like that of {}[{}]", where,
                                           readers::in_quotes(tensors[i].name), root.path(name),
                                           i));
    }
  }
  if (rest_.empty()) return tensors;
  throw Refusal::malformed(
      fmt::format("the body has {} bytes more than its tensors take", rest_.size()));
}

WireTensor TensorReader::read_one(const JsonObject& object, int64_t smallest) {
  WireTensor tensor;
  if (!object.find("name", tensor.name)) object.missing("name");
  std::string type;
  if (!object.find("datatype", type)) object.missing("datatype");
  const auto found = wire_type(type);
  if (!found) {
    throw Refusal::malformed(
        fmt::format("{} is {}, which isn't a type of the Open Inference Protocol",
                    object.path("datatype"), readers::in_quotes(type)));
  }
  tensor.type = *found;
  simdjson::dom::element value;
  if (!object.find("shape", value)) object.missing("shape");
  tensor.shape = read_json_shape(value, smallest, object, "shape");
  simdjson::dom::object parameters;
  if (object.find("parameters", parameters)) {
    const JsonObject named(parameters, object, "parameters");
    for (const std::string_view name : kSharedMemory) {
      if (simdjson::dom::element region; named.find(name, region)) {
        throw Refusal::malformed(
            fmt::format("{}: shared memory isn't supported; send the data", named.path(name)));
      }
    }
    if (int64_t size = 0; named.find("binary_data_size", size)) {
      take_binary(tensor, size, named, "binary_data_size");
      return tensor;
    }
  }
  if (!object.find("data", value)) object.missing("data");
  read_json_data(value, json_bytes_, object.path("data"), tensor);
  return tensor;
}

void TensorReader::take_binary(WireTensor& tensor, int64_t size, const JsonObject& parameters,
                               std::string_view name) {
  const auto bytes = static_cast<uint64_t>(size);
  const uint64_t wanted =
      static_cast<uint64_t>(tensor.elements()) * uint64_t{element_size(tensor.type)};
  if (tensor.type != WireType::bytes && bytes != wanted) {
    throw Refusal::malformed(fmt::format("{} is {}, but {} [{}] takes {} bytes",
                                         parameters.path(name), size, name_of(tensor.type),
                                         fmt::join(tensor.shape, ", "), wanted));
  }
  if (bytes > rest_.size()) {
    throw Refusal::malformed(fmt::format("{} is {}, but only {} bytes of the body are left",
                                         parameters.path(name), size, rest_.size()));
  }
  if (own_body_ != nullptr && bytes == rest_.size() && bytes >= own_body_->size() / 2) {
    own_body_->erase(0, own_body_->size() - bytes);
    tensor.data = std::move(*own_body_);
    rest_ = {};
  } else {
    tensor.data = rest_.substr(0, bytes);
    rest_.remove_prefix(bytes);
  }
  if (tensor.type == WireType::bytes) bytes_elements(tensor);
}

}  // namespace levin
