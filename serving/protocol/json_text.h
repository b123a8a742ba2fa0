#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <levin/serving/protocol/wire_tensor.h>

/// The writing of JSON into a string.
namespace levin {

/// Appends a text in double quotes. Bytes that aren't UTF-8 become U+FFFD.
void append_json(std::string& json, std::string_view text);
void append_json(std::string& json, int64_t value);
void append_json(std::string& json, uint64_t value);
/// Appends the shortest decimal number from which a reader gets the same float back; null for what
/// isn't finite, which JSON doesn't have. NumPy makes NaN of it. The words NaN and Infinity, which
/// Triton writes, would make browsers, jq and KServe's client refuse the whole text.
void append_json(std::string& json, float value);
void append_json(std::string& json, double value);
void append_json(std::string& json, bool value);

/// Appends a text in quotes, "name":
void append_json_key(std::string& json, std::string_view name);

/// Appends the sizes of a tensor as an array: [1,784].
void append_json_shape(std::string& json, const std::vector<int64_t>& shape);

/// Appends the elements of a tensor as one flat array. Throws Refusal (400) for FP16 and BF16,
/// which the protocol has only in binary form.
void append_json_data(std::string& json, const WireTensor& tensor);

/// Appends a tensor as the protocol's inputs and outputs are: an object with its elements in
/// "data", or, if `binary`, with their number of bytes in "binary_data_size"; they are then
/// appended to `tail`.
void append_json_tensor(std::string& json, const WireTensor& tensor, bool binary,
                        std::string& tail);

}  // namespace levin
