#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <levin/serving/protocol/inference.h>
#include <levin/serving/protocol/model_metadata.h>

/// The bodies of the Open Inference Protocol's /infer, read and written: JSON, Triton's extension
/// "binary_tensor_data", and its raw requests. Source: kserve/open-inference-protocol,
/// inference_rest.md; Triton, extension_binary_data.md.
namespace levin {

/// The header that says how many bytes of a body are JSON; the raw bytes of tensors follow them.
inline constexpr std::string_view kJsonLengthHeader = "Inference-Header-Content-Length";

/// A body, and what its headers say of it.
struct InferBody {
  std::string body{};
  /// The bytes of JSON at its front; all of them if no tensor is binary.
  size_t json_bytes = 0;

  /// Whether raw bytes follow the JSON, and kJsonLengthHeader is needed.
  bool is_binary() const { return json_bytes != body.size(); }
  /// application/json, or application/octet-stream for a binary body, as Triton says.
  std::string content_type() const {
    return is_binary() ? "application/octet-stream" : "application/json";
  }
};

/// Reads a request. `json_length`: the value of kJsonLengthHeader, "" without one. With the value
/// "0", the body is a raw request, the bytes of the only input of `model`, whose rows follow from
/// their number; all outputs are then binary. A JSON member "model_name" or "model_version" names
/// the model, which addresses do otherwise. Members that aren't known are ignored.
///
/// Throws Refusal (400) if anything is missing or doesn't fit; it says what and where:
/// "inputs[0].data has 783 elements, but its shape [1, 784] has 784". Memory is taken in proportion
/// to the body only, whatever a shape says.
InferenceRequest parse_infer_request(const std::string& body, std::string_view json_length = {},
                                     const ModelMetadata* model = nullptr);
/// The same for a body that is no longer needed: a tensor may take its memory.
InferenceRequest parse_infer_request(std::string&& body, std::string_view json_length = {},
                                     const ModelMetadata* model = nullptr);

/// Writes a request, with its inputs as raw bytes or, if not `binary`, as JSON, which throws
/// Refusal for FP16 and BF16. Model and version are in the JSON, too, if they aren't empty.
InferBody write_infer_request(const InferenceRequest& request, bool binary = true);

/// Writes the answer to a request: the outputs that it asks for, in its order and form. In JSON, a
/// float is the shortest decimal number that reads back as the same float, and null stands for what
/// isn't finite; raw bytes tell NaN and the infinities apart. `class_names` are the
/// labels of the extension "classification". Throws Refusal (400) if the request asks for an output
/// that there isn't, or for FP16 or BF16 as JSON.
InferBody write_infer_response(const InferenceResponse& response, const InferenceRequest& request,
                               const std::vector<std::string>& class_names = {});

/// Writes an answer with all its outputs, as raw bytes.
InferBody write_infer_response(const InferenceResponse& response);

/// Reads an answer. Throws Refusal (400) if it isn't one.
InferenceResponse parse_infer_response(const std::string& body, std::string_view json_length = {});

/// A request or an answer in one text, as processes hand them on: the body if all of it is JSON;
/// otherwise the number of bytes of its JSON, a line feed, and the body.
std::string to_wire(const InferenceRequest& request);
std::string to_wire(const InferenceOutcome& outcome);
/// Reads what `to_wire` wrote, or the JSON of a request that anyone wrote. Throws Refusal (400).
InferenceRequest request_from_wire(const std::string& text);
/// Reads what `to_wire` wrote; a Refusal is {"error": text, "status": 429, "retry_after": 1}.
/// Throws Refusal (400) if it is anything else.
InferenceOutcome outcome_from_wire(const std::string& text);

/// Returns the outputs that a request asks for, in its order; all if it names none. Throws Refusal
/// (400) for one that `response` doesn't have.
std::vector<const WireTensor*> requested_outputs(const InferenceResponse& response,
                                                 const InferenceRequest& request);

/// Returns the `count` largest values of each row of `tensor`, as the extension "classification"
/// has them: BYTES [rows, count] of "value:index" or, if `labels` has one, "value:index:label".
/// There are as many as the row has if these are fewer. Throws Refusal (400) for BYTES tensors.
WireTensor largest_values(const WireTensor& tensor, int64_t count,
                          const std::vector<std::string>& labels);

}  // namespace levin
