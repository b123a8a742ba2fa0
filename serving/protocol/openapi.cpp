#include <levin/serving/protocol/openapi.h>

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include <levin/framework/core/version.h>
#include <levin/serving/protocol/json_text.h>

namespace levin {

namespace {

/// One address: its path with {model} and {version}, and the names of the schemas of its body and
/// its answer, "" for none.
struct DescribedAddress {
  std::string_view path;
  bool takes_post;
  std::string_view summary;
  std::string_view body;
  std::string_view answer;
};

constexpr DescribedAddress kAddresses[] = {
    {"/predict", true, "Predict plain rows with the only model", "Rows", "Predictions"},
    {"/models/{model}/predict", true, "Predict plain rows", "Rows", "Predictions"},
    {"/models/{model}/versions/{version}/predict", true, "Predict plain rows with a version",
     "Rows", "Predictions"},
    {"/v2", false, "What the server is", "", "ServerMetadata"},
    {"/v2/health/live", false, "Whether the server runs", "", "Live"},
    {"/v2/health/ready", false, "Whether all models can be asked", "", "Ready"},
    {"/v2/models/{model}", false, "What a model takes and returns", "", "ModelMetadata"},
    {"/v2/models/{model}/versions/{version}", false, "What a version takes and returns", "",
     "ModelMetadata"},
    {"/v2/models/{model}/ready", false, "Whether a model can be asked", "", "Ready"},
    {"/v2/models/{model}/versions/{version}/ready", false, "Whether a version can be asked", "",
     "Ready"},
    {"/v2/models/{model}/infer", true, "Predict tensors", "InferRequest", "InferResponse"},
    {"/v2/models/{model}/versions/{version}/infer", true, "Predict tensors with a version",
     "InferRequest", "InferResponse"},
    {"/v2/models/{model}/config", false, "The configuration of a model", "", "Object"},
    {"/v2/models/{model}/versions/{version}/config", false, "The configuration of a version", "",
     "Object"},
    {"/v2/models/stats", false, "The statistics of all models", "", "Object"},
    {"/v2/models/{model}/stats", false, "The statistics of a model", "", "Object"},
    {"/v2/models/{model}/versions/{version}/stats", false, "The statistics of a version", "",
     "Object"},
    {"/v2/repository/index", true, "All versions of all models", "Object", "Index"},
    {"/v2/repository/models/{model}/load", true, "Load what is newest of a model", "Object",
     "Object"},
    {"/v2/repository/models/{model}/unload", true, "Stop serving a model", "Object", "Object"},
    {"/models", false, "What the page must know of the models", "", "Object"},
    {"/metrics", false, "Metrics for Prometheus", "", "Text"},
    {"/openapi.json", false, "This description", "", "Object"},
    {"/", false, "A page for trying the models by hand", "", "Page"},
    {"/page.css", false, "The style of the page", "", "Style"},
    {"/page.js", false, "The script of the page", "", "Script"},
};

constexpr std::string_view kSchemas = R"json({
"Error":{"type":"object","required":["error"],"properties":{"error":{"type":"string"}}},
"Object":{"type":"object"},
"Live":{"type":"object","properties":{"live":{"type":"boolean"}}},
"Ready":{"type":"object","properties":{"ready":{"type":"boolean"}}},
"ServerMetadata":{"type":"object","required":["name","version","extensions"],"properties":{
  "name":{"type":"string"},"version":{"type":"string"},
  "extensions":{"type":"array","items":{"type":"string"}}}},
"TensorMetadata":{"type":"object","required":["name","datatype","shape"],"properties":{
  "name":{"type":"string"},"datatype":{"$ref":"#/components/schemas/Datatype"},
  "shape":{"type":"array","description":"-1: may vary","items":{"type":"integer"}}}},
"ModelMetadata":{"type":"object","required":["name","platform","inputs","outputs"],"properties":{
  "name":{"type":"string"},"versions":{"type":"array","items":{"type":"string"}},
  "platform":{"type":"string"},
  "inputs":{"type":"array","items":{"$ref":"#/components/schemas/TensorMetadata"}},
  "outputs":{"type":"array","items":{"$ref":"#/components/schemas/TensorMetadata"}}}},
"Index":{"type":"array","items":{"type":"object","properties":{
  "name":{"type":"string"},"version":{"type":"string"},"state":{"type":"string"},
  "reason":{"type":"string"}}}},
"Datatype":{"type":"string","enum":["BOOL","UINT8","UINT16","UINT32","UINT64","INT8","INT16",
  "INT32","INT64","FP16","BF16","FP32","FP64","BYTES"]},
"Tensor":{"type":"object","required":["name","datatype","shape"],"properties":{
  "name":{"type":"string"},"datatype":{"$ref":"#/components/schemas/Datatype"},
  "shape":{"type":"array","items":{"type":"integer"}},
  "parameters":{"type":"object","properties":{"binary_data_size":{"type":"integer",
    "description":"bytes of this tensor behind the JSON, in place of data"}}},
  "data":{"type":"array","description":"the elements, row-major, flat or nested","items":{}}}},
"RequestedOutput":{"type":"object","required":["name"],"properties":{
  "name":{"type":"string"},
  "parameters":{"type":"object","properties":{"binary_data":{"type":"boolean"},
    "classification":{"type":"integer","description":"how many of the largest values"}}}}},
"InferRequest":{"type":"object","required":["inputs"],"properties":{
  "id":{"type":"string"},
  "parameters":{"type":"object","properties":{"binary_data_output":{"type":"boolean"},
    "priority":{"type":"integer"},
    "timeout":{"type":"integer","description":"microseconds"}}},
  "inputs":{"type":"array","items":{"$ref":"#/components/schemas/Tensor"}},
  "outputs":{"type":"array","items":{"$ref":"#/components/schemas/RequestedOutput"}}}},
"InferResponse":{"type":"object","required":["model_name","outputs"],"properties":{
  "model_name":{"type":"string"},"model_version":{"type":"string"},"id":{"type":"string"},
  "outputs":{"type":"array","items":{"$ref":"#/components/schemas/Tensor"}}}},
"Rows":{"type":"object","required":["rows"],"properties":{"rows":{"type":"array",
  "description":"a row is an array of numbers, or, of a table, an object of cells by column",
  "items":{}}}},
"Predictions":{"type":"object","required":["model","version","predictions"],"properties":{
  "model":{"type":"string"},"version":{"type":"string"},
  "predictions":{"type":"array","items":{"type":"object","properties":{
    "class":{"type":"integer"},"class_name":{"type":"string"},
    "probability":{"type":"number","nullable":true},
    "probabilities":{"type":"array","items":{"type":"number","nullable":true}}}}}}}
})json";

/// The answers that are texts, with their types.
constexpr std::pair<std::string_view, std::string_view> kTexts[] = {{"Text", "text/plain"},
                                                                    {"Page", "text/html"},
                                                                    {"Style", "text/css"},
                                                                    {"Script", "text/javascript"}};

/// Appends the contents of a body or an answer: its types and the schemas of these.
void append_content(std::string& json, std::string_view schema) {
  const auto add = [&json](std::string_view type, std::string_view value) {
    append_json_key(json, type);
    json += "{\"schema\":";
    json += value;
    json += '}';
  };
  constexpr std::string_view kText = R"({"type":"string"})";
  constexpr std::string_view kBinary = R"({"type":"string","format":"binary"})";
  json += "\"content\":{";
  const auto text = std::find_if(std::begin(kTexts), std::end(kTexts),
                                 [&](const auto& each) { return each.first == schema; });
  if (text != std::end(kTexts)) {
    add(text->second, kText);
  } else {
    add("application/json", R"({"$ref":"#/components/schemas/)" + std::string(schema) + "\"}");
  }
  if (schema == "Rows" || schema == "Predictions") {
    json += ',';
    add("text/csv", kText);
    json += ',';
    add("application/x-npy", kBinary);
  } else if (schema == "InferRequest" || schema == "InferResponse") {
    json += ',';
    add("application/octet-stream", kBinary);
  }
  json += '}';
}

void append_parameters_of(std::string& json, std::string_view path, bool is_binary) {
  std::string list;
  for (const std::string_view name : {"model", "version"}) {
    if (path.find("{" + std::string(name) + "}") == std::string_view::npos) continue;
    list += list.empty() ? "{" : ",{";
    append_json_key(list, "name");
    append_json(list, name);
    list += R"(,"in":"path","required":true,"schema":{"type":"string"}})";
  }
  if (is_binary) {
    list += R"(,{"name":"Inference-Header-Content-Length","in":"header","required":false,)"
            R"("description":"bytes of JSON before the raw bytes of tensors",)"
            R"("schema":{"type":"integer"}})";
  }
  if (!list.empty()) json += ",\"parameters\":[" + list + "]";
}

void append_operation(std::string& json, const DescribedAddress& address) {
  append_json_key(json, address.path);
  json += address.takes_post ? "{\"post\":{" : "{\"get\":{";
  append_json_key(json, "summary");
  append_json(json, address.summary);
  append_parameters_of(json, address.path, address.body == "InferRequest");
  if (!address.body.empty()) {
    json += ",\"requestBody\":{";
    json += address.body == "Object" ? "\"required\":false," : "\"required\":true,";
    append_content(json, address.body);
    json += '}';
  }
  json += R"(,"responses":{"200":{"description":"the answer",)";
  append_content(json, address.answer);
  json += R"(},"default":{"description":"why the request isn't answered",)";
  append_content(json, "Error");
  json += "}}}}";
}

}  // namespace

std::string openapi_json() {
  std::string json = R"({"openapi":"3.0.3","info":{"title":"Levin","version":)";
  append_json(json, std::string_view(kVersion));
  json += "},\"paths\":{";
  for (const auto& address : kAddresses) {
    if (&address != kAddresses) json += ',';
    append_operation(json, address);
  }
  json +=
      "},\"security\":[{},{\"token\":[]}],\"components\":{\"securitySchemes\":{\"token\":"
      "{\"type\":\"http\",\"scheme\":\"bearer\"}},\"schemas\":";
  json += kSchemas;
  return json + "}}";
}

}  // namespace levin
