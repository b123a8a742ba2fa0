#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <levin/serving/protocol/json_document.h>
#include <levin/serving/protocol/wire_tensor.h>

namespace levin {

/// Reads the tensors of a body, from its JSON or from the raw bytes behind it, in their order.
class TensorReader {
 public:
  /// `json_length` is the value of the header Inference-Header-Content-Length; "" without one.
  /// Throws Refusal (400) if it isn't a number of bytes that the body has.
  TensorReader(const std::string& body, std::string_view json_length);
  /// The same for a body that is no longer needed once it is read: the last tensor may take its
  /// memory.
  TensorReader(std::string&& body, std::string_view json_length);

  size_t json_bytes() const { return json_bytes_; }
  /// The bytes that no tensor has taken yet.
  std::string_view rest() const { return rest_; }

  /// Reads the member `name` ("inputs" or "outputs"), whose shapes have sizes of at least
  /// `smallest`. Throws Refusal (400) if there is none.
  std::vector<WireTensor> read(const JsonObject& root, std::string_view name, int64_t smallest);

 private:
  WireTensor read_one(const JsonObject& object, int64_t smallest);
  /// Reads the bytes of a tensor, as many as the member `name` of `parameters` says.
  void take_binary(WireTensor& tensor, int64_t size, const JsonObject& parameters,
                   std::string_view name);

  std::string* own_body_ = nullptr;  // whose memory may be taken
  std::string_view rest_;
  size_t json_bytes_ = 0;
};

}  // namespace levin
