#pragma once

#include <cstddef>
#include <string>

#include <levin/serving/protocol/wire_tensor.h>

/// The elements of tensors one by one, for what isn't worth a loop for each type.
namespace levin {

/// Returns element `index` as a double. It must exist, and the tensor mustn't be BYTES.
double number_at(const WireTensor& tensor, size_t index);

/// Returns element `index` as text: the shortest decimal number that reads back as the same value,
/// or NaN, Infinity or -Infinity; "true" or "false" for BOOL. The tensor mustn't be BYTES.
std::string text_at(const WireTensor& tensor, size_t index);

/// Appends a number to the data of a tensor, converted to its type. Returns false, and appends
/// nothing, if the type can't hold it: a fraction in a type of integers, or out of range. FP16,
/// BF16 and BYTES hold none.
bool append_number(WireTensor& tensor, double value);

/// The type in which numbers in a text are read for an input of `type`: FP32 for FP16 and BF16,
/// to which the model converts them.
inline WireType type_in_text(WireType type) {
  return type == WireType::fp16 || type == WireType::bf16 ? WireType::fp32 : type;
}

}  // namespace levin
