#include <levin/serving/protocol/metadata_json.h>

#include <string_view>

#include <levin/framework/core/version.h>
#include <levin/serving/protocol/json_text.h>

namespace levin {

namespace {

/// Appends a member whose value is a text.
void append_member(std::string& json, std::string_view name, std::string_view value) {
  append_json_key(json, name);
  append_json(json, value);
}

void append_tensors(std::string& json, const std::vector<TensorMetadata>& tensors) {
  json += '[';
  for (size_t i = 0; i < tensors.size(); ++i) {
    json += i > 0 ? ",{" : "{";
    append_member(json, "name", tensors[i].name);
    json += ',';
    append_member(json, "datatype", name_of(tensors[i].type));
    json += ",\"shape\":";
    append_json_shape(json, tensors[i].shape);
    json += '}';
  }
  json += ']';
}

void append_config_tensors(std::string& json, const std::vector<TensorMetadata>& tensors,
                           bool has_rows) {
  json += '[';
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& tensor = tensors[i];
    json += i > 0 ? ",{" : "{";
    append_member(json, "name", tensor.name);
    // Triton's enumeration calls BYTES by another name.
    const auto type = tensor.type == WireType::bytes ? "STRING" : name_of(tensor.type);
    json += ',';
    append_member(json, "data_type", "TYPE_" + std::string(type));
    auto sizes = tensor.shape;
    if (!has_rows && !sizes.empty()) sizes.erase(sizes.begin());
    json += ",\"dims\":";
    append_json_shape(json, sizes);
    json += '}';
  }
  json += ']';
}

}  // namespace

std::string server_metadata_json() {
  std::string json = "{";
  append_member(json, "name", "levin");
  json += ',';
  append_member(json, "version", kVersion);
  return json + R"(,"extensions":["classification","model_repository","schedule_policy",)"
                R"("model_configuration","binary_tensor_data","parameters","statistics"]})";
}

std::string model_metadata_json(const ModelMetadata& model,
                                const std::vector<std::string>& versions) {
  std::string json = "{";
  append_member(json, "name", model.name);
  json += ",\"versions\":[";
  for (size_t i = 0; i < versions.size(); ++i) {
    if (i > 0) json += ',';
    append_json(json, std::string_view(versions[i]));
  }
  json += "],";
  append_member(json, "platform", model.platform);
  json += ",\"inputs\":";
  append_tensors(json, model.inputs);
  json += ",\"outputs\":";
  append_tensors(json, model.outputs);
  return json + '}';
}

std::string model_config_json(const ModelMetadata& model) {
  std::string json = "{";
  append_member(json, "name", model.name);
  json += ',';
  append_member(json, "platform", model.platform);
  json += R"(,"backend":"levin","version_policy":{"latest":{"num_versions":1}},)";
  append_json_key(json, "max_batch_size");
  append_json(json, model.max_batch);
  json += ",\"input\":";
  append_config_tensors(json, model.inputs, model.max_batch == 0);
  json += ",\"output\":";
  append_config_tensors(json, model.outputs, model.max_batch == 0);
  if (model.max_batch > 0) {
    json += R"(,"dynamic_batching":{"max_queue_delay_microseconds":)";
    append_json(json, model.delay_us);
    json += '}';
  }
  return json + '}';
}

std::string repository_index_json(const std::vector<ModelMetadata>& models,
                                  const std::vector<std::string>& unloaded) {
  std::string json = "[";
  const auto add = [&](const std::string& name, const std::string& version, std::string_view rest) {
    json += json.size() > 1 ? ",{" : "{";
    append_member(json, "name", name);
    json += ',';
    append_member(json, "version", version);
    json += rest;
  };
  for (const auto& model : models)
    add(model.name, model.version, R"(,"state":"READY","reason":""})");
  for (const auto& name : unloaded) {
    add(name, "", R"(,"state":"UNAVAILABLE","reason":"unloaded"})");
  }
  return json + ']';
}

std::vector<std::string> versions_of(const std::vector<ModelMetadata>& models,
                                     const std::string& name) {
  std::vector<std::string> versions;
  for (const auto& model : models) {
    if (model.name == name) versions.push_back(model.version);
  }
  return versions;
}

}  // namespace levin
