#include <levin/serving/protocol/infer_messages.h>

#include <algorithm>
#include <cstdint>
#include <numeric>

#include <fmt/format.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/serving/protocol/json_document.h>
#include <levin/serving/protocol/json_text.h>
#include <levin/serving/protocol/tensor_numbers.h>
#include <levin/serving/protocol/tensor_reader.h>

namespace levin {

namespace {

void append_response_start(std::string& json, const InferenceResponse& response) {
  json += '{';
  append_json_key(json, "model_name");
  append_json(json, std::string_view(response.model));
  const auto add = [&](std::string_view name, const std::string& text) {
    if (text.empty()) return;
    json += ',';
    append_json_key(json, name);
    append_json(json, std::string_view(text));
  };
  add("model_version", response.version);
  add("id", response.id);
  json += ",\"outputs\":[";
}

}  // namespace

std::vector<const WireTensor*> requested_outputs(const InferenceResponse& response,
                                                 const InferenceRequest& request) {
  std::vector<const WireTensor*> outputs;
  outputs.reserve(request.outputs.empty() ? response.outputs.size() : request.outputs.size());
  if (request.outputs.empty()) {
    for (const auto& output : response.outputs) outputs.push_back(&output);
  }
  for (const auto& requested : request.outputs) {
    const auto found =
        std::find_if(response.outputs.begin(), response.outputs.end(),
                     [&](const WireTensor& output) { return output.name == requested.name; });
    if (found == response.outputs.end()) {
      throw Refusal::malformed(
          fmt::format("the model has no output {}", readers::in_quotes(requested.name)));
    }
    outputs.push_back(&*found);
  }
  return outputs;
}

WireTensor largest_values(const WireTensor& tensor, int64_t count,
                          const std::vector<std::string>& labels) {
  if (tensor.type == WireType::bytes) {
    throw Refusal::malformed(
        fmt::format("{} is BYTES, which the extension classification isn't for",
                    readers::in_quotes(tensor.name)));
  }
  std::vector<double> values(tensor.data.size() / element_size(tensor.type));
  for (size_t i = 0; i < values.size(); ++i) values[i] = number_at(tensor, i);
  const auto rows = static_cast<size_t>(std::max<int64_t>(tensor.rows(), 1));
  const size_t width = values.size() / rows;
  const size_t taken = std::min(width, static_cast<size_t>(count));
  WireTensor largest{.name = tensor.name,
                     .type = WireType::bytes,
                     .shape = {tensor.rows(), static_cast<int64_t>(taken)}};
  std::vector<size_t> order(width);
  for (size_t row = 0; row < rows; ++row) {
    const double* first = values.data() + row * width;
    std::iota(order.begin(), order.end(), size_t{0});
    // NaN comes last, so that this is an order.
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(taken),
                      order.end(), [&](size_t a, size_t b) {
                        const bool a_is_nan = first[a] != first[a];
                        const bool b_is_nan = first[b] != first[b];
                        if (a_is_nan != b_is_nan) return b_is_nan;
                        return first[a] > first[b] || (!(first[b] > first[a]) && a < b);
                      });
    for (size_t i = 0; i < taken; ++i) {
      auto text = fmt::format("{}:{}", text_at(tensor, row * width + order[i]), order[i]);
      if (order[i] < labels.size()) text += ":" + labels[order[i]];
      append_bytes_element(largest.data, text);
    }
  }
  return largest;
}

InferBody write_infer_response(const InferenceResponse& response, const InferenceRequest& request,
                               const std::vector<std::string>& class_names) {
  InferBody written;
  std::string tail;
  constexpr size_t kUsualSize = 512;
  written.body.reserve(kUsualSize);
  append_response_start(written.body, response);
  const auto outputs = requested_outputs(response, request);
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (i > 0) written.body += ',';
    const RequestedOutput requested =
        request.outputs.empty() ? RequestedOutput{} : request.outputs[i];
    const bool binary = requested.binary.value_or(request.binary_outputs);
    if (requested.classification > 0) {
      const auto largest = largest_values(*outputs[i], requested.classification, class_names);
      append_json_tensor(written.body, largest, binary, tail);
    } else {
      append_json_tensor(written.body, *outputs[i], binary, tail);
    }
  }
  written.body += "]}";
  written.json_bytes = written.body.size();
  written.body += tail;
  return written;
}

InferBody write_infer_response(const InferenceResponse& response) {
  return write_infer_response(response, InferenceRequest{.binary_outputs = true});
}

InferenceResponse parse_infer_response(const std::string& body, std::string_view json_length) {
  TensorReader reader(body, json_length);
  const JsonDocument document(body, reader.json_bytes());
  const JsonObject root(document.object(), "");
  InferenceResponse response;
  root.find("model_name", response.model);
  root.find("model_version", response.version);
  root.find("id", response.id);
  response.outputs = reader.read(root, "outputs", 0);
  return response;
}

}  // namespace levin
