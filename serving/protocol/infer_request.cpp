#include <levin/serving/protocol/infer_messages.h>

#include <array>
#include <cstdint>
#include <utility>

#include <fmt/format.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/serving/protocol/json_document.h>
#include <levin/serving/protocol/json_text.h>
#include <levin/serving/protocol/tensor_reader.h>

namespace levin {

namespace {

constexpr std::array<std::string_view, 3> kSequences = {"sequence_id", "sequence_start",
                                                        "sequence_end"};

/// The body of a raw request as the tensor that `input` describes.
WireTensor raw_tensor(const std::string& body, const TensorMetadata& input) {
  WireTensor tensor{.name = input.name, .type = input.type, .shape = input.shape};
  if (input.type == WireType::bytes) {
    for (auto& size : tensor.shape) size = size < 0 ? 1 : size;
    append_bytes_element(tensor.data, body);
    bytes_elements(tensor);
    return tensor;
  }
  // The sizes that may vary are 1 but for the last of them, which follows from the bytes.
  int64_t* varying = nullptr;
  for (auto& size : tensor.shape) {
    if (size >= 0) continue;
    size = 1;
    varying = &size;
  }
  const auto unit = static_cast<uint64_t>(tensor.elements()) * element_size(tensor.type);
  const bool divides = unit > 0 && !body.empty() && body.size() % unit == 0;
  if (!divides || (varying == nullptr && body.size() != unit)) {
    throw Refusal::malformed(fmt::format("the body has {} bytes, but a row of '{}' takes {}",
                                         body.size(), input.name, unit));
  }
  if (varying != nullptr) *varying = static_cast<int64_t>(body.size() / unit);
  tensor.data = body;
  return tensor;
}

InferenceRequest raw_request(const std::string& body, const ModelMetadata* model) {
  if (model == nullptr) {
    throw Refusal::malformed(
        "Inference-Header-Content-Length is 0, but a raw request is only for "
        "a model whose input is known");
  }
  if (model->inputs.size() != 1) {
    throw Refusal::malformed(fmt::format("a raw request is for a model with one input; {} has {}",
                                         readers::in_quotes(model->name), model->inputs.size()));
  }
  InferenceRequest request;
  request.inputs.push_back(raw_tensor(body, model->inputs.front()));
  request.binary_outputs = true;
  return request;
}

RequestedOutput read_requested(const JsonObject& object) {
  RequestedOutput output;
  if (!object.find("name", output.name)) object.missing("name");
  simdjson::dom::object parameters;
  if (!object.find("parameters", parameters)) return output;
  const JsonObject named(parameters, object, "parameters");
  if (bool binary = false; named.find("binary_data", binary)) output.binary = binary;
  named.find("classification", output.classification);
  if (simdjson::dom::element region; named.find("shared_memory_region", region)) {
    throw Refusal::malformed(
        fmt::format("{}: shared memory isn't supported", named.path("shared_memory_region")));
  }
  return output;
}

void read_outputs(const JsonObject& root, InferenceRequest& request) {
  simdjson::dom::array outputs;
  if (!root.find("outputs", outputs)) return;
  for (const simdjson::dom::element value : outputs) {
    const auto where = fmt::format("outputs[{}]", request.outputs.size());
    simdjson::dom::object object;
    if (value.get(object) != simdjson::SUCCESS) {
      throw Refusal::malformed(
          fmt::format("{} must be an object, but is {}", where, kind_of(value)));
    }
    if (request.outputs.size() == 1024) {
      throw Refusal::malformed("outputs has more than 1024 elements");
    }
    request.outputs.push_back(read_requested(JsonObject(object, where)));
  }
}

void read_parameters(const JsonObject& root, InferenceRequest& request) {
  simdjson::dom::object parameters;
  if (!root.find("parameters", parameters)) return;
  const JsonObject named(parameters, "parameters");
  named.find("binary_data_output", request.binary_outputs);
  named.find("priority", request.priority);
  if (int64_t timeout = 0; named.find("timeout", timeout) && timeout > 0) {
    request.timeout_us = timeout;
  }
  for (const std::string_view name : kSequences) {
    if (simdjson::dom::element sequence; named.find(name, sequence)) {
      throw Refusal::malformed(fmt::format("{}: sequences aren't supported", named.path(name)));
    }
  }
}

void check_rows(const InferenceRequest& request) {
  if (request.inputs.empty()) throw Refusal::malformed("inputs is empty");
  for (size_t i = 1; i < request.inputs.size(); ++i) {
    if (request.inputs[i].rows() == request.rows()) continue;
    throw Refusal::malformed(
        fmt::format("inputs[{}] has {} rows, but inputs[0] has {}; all must have the same number",
                    i, request.inputs[i].rows(), request.rows()));
  }
}

/// `reader` reads `body`; `has_length`: whether the client has said how long its JSON is.
InferenceRequest parse(const std::string& body, TensorReader reader, bool has_length,
                       const ModelMetadata* model) {
  if (has_length && reader.json_bytes() == 0) return raw_request(body, model);
  const JsonDocument document(body, reader.json_bytes());
  const JsonObject root(document.object(), "");
  InferenceRequest request;
  root.find("model_name", request.model);
  root.find("model_version", request.version);
  root.find("id", request.id);
  read_parameters(root, request);
  read_outputs(root, request);
  request.inputs = reader.read(root, "inputs", 1);
  check_rows(request);
  return request;
}

void append_parameters(std::string& json, const InferenceRequest& request) {
  std::string members;
  const auto add = [&](std::string_view name, auto value) {
    if (!members.empty()) members += ',';
    append_json_key(members, name);
    append_json(members, value);
  };
  if (request.binary_outputs) add("binary_data_output", true);
  if (request.priority != 0) add("priority", request.priority);
  if (request.timeout_us) add("timeout", *request.timeout_us);
  if (!members.empty()) json += "\"parameters\":{" + members + "},";
}

void append_requested(std::string& json, const RequestedOutput& output) {
  json += "{\"name\":";
  append_json(json, std::string_view(output.name));
  if (output.binary || output.classification != 0) {
    json += ",\"parameters\":{";
    if (output.binary) {
      json += "\"binary_data\":";
      append_json(json, *output.binary);
    }
    if (output.classification != 0) {
      json += output.binary ? ",\"classification\":" : "\"classification\":";
      append_json(json, output.classification);
    }
    json += '}';
  }
  json += '}';
}

}  // namespace

InferenceRequest parse_infer_request(const std::string& body, std::string_view json_length,
                                     const ModelMetadata* model) {
  return parse(body, TensorReader(body, json_length), !json_length.empty(), model);
}

InferenceRequest parse_infer_request(std::string&& body, std::string_view json_length,
                                     const ModelMetadata* model) {
  return parse(body, TensorReader(std::move(body), json_length), !json_length.empty(), model);
}

InferBody write_infer_request(const InferenceRequest& request, bool binary) {
  InferBody written;
  std::string& json = written.body;
  std::string tail;
  json += '{';
  const auto add = [&](std::string_view name, const std::string& text) {
    if (text.empty()) return;
    append_json_key(json, name);
    append_json(json, std::string_view(text));
    json += ',';
  };
  add("model_name", request.model);
  add("model_version", request.version);
  add("id", request.id);
  append_parameters(json, request);
  json += "\"inputs\":[";
  for (size_t i = 0; i < request.inputs.size(); ++i) {
    if (i > 0) json += ',';
    append_json_tensor(json, request.inputs[i], binary, tail);
  }
  json += ']';
  if (!request.outputs.empty()) json += ",\"outputs\":[";
  for (size_t i = 0; i < request.outputs.size(); ++i) {
    if (i > 0) json += ',';
    append_requested(json, request.outputs[i]);
  }
  json += request.outputs.empty() ? "}" : "]}";
  written.json_bytes = json.size();
  json += tail;
  return written;
}

}  // namespace levin
