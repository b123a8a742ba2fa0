#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <levin/serving/protocol/refusal.h>
#include <levin/serving/protocol/wire_tensor.h>

namespace levin {

/// An output that a request asks for.
struct RequestedOutput {
  std::string name{};
  /// Whether it is sent as raw bytes behind the JSON; if not said, `InferenceRequest` decides.
  std::optional<bool> binary{};
  /// The extension "classification": how many of the largest values are sent, as BYTES elements
  /// "value:index:label"; 0: the tensor itself.
  int64_t classification = 0;
};

/// A request to predict, however it came: V2 JSON, V2 binary, rows of /predict or Redis.
struct InferenceRequest {
  /// Of which model, and which version of it; an empty version is the newest.
  std::string model{};
  std::string version{};
  /// The client's name for the request, which the answer repeats; may be empty.
  std::string id{};
  /// At least one; all have the same number of rows.
  std::vector<WireTensor> inputs{};
  /// Empty: all outputs.
  std::vector<RequestedOutput> outputs{};
  /// The default of RequestedOutput::binary (the parameter binary_data_output).
  bool binary_outputs = false;
  /// 0: none; otherwise 1 is served first.
  int64_t priority = 0;
  /// How long the client waits, in microseconds from now on; nothing: as long as the server allows.
  std::optional<int64_t> timeout_us{};

  /// The number of rows of the first input; 0 without one.
  int64_t rows() const { return inputs.empty() ? 0 : inputs.front().rows(); }
};

/// The answer to an InferenceRequest.
struct InferenceResponse {
  std::string model{};
  std::string version{};
  std::string id{};
  std::vector<WireTensor> outputs{};
};

/// What becomes of a request.
using InferenceOutcome = std::variant<InferenceResponse, Refusal>;

}  // namespace levin
