#pragma once

#include <optional>
#include <string_view>

#include <c10/core/ScalarType.h>

#include <levin/serving/protocol/wire_tensor.h>

namespace levin {

/// LibTorch's type of a wire type's elements; nothing for BYTES.
std::optional<at::ScalarType> scalar_type_of(WireType type);
/// The wire type of LibTorch's type; nothing if the protocol has none.
std::optional<WireType> wire_type_of(at::ScalarType type);
/// The type that PyTorch calls `name`, such as "float32"; nothing if the protocol has none.
std::optional<WireType> wire_type_of_dtype(std::string_view name);

/// Whether numbers of the type `from` become the type `to` as a client expects it: every number
/// becomes a number with a fraction, and integers become integers that hold all of their values.
bool converts(WireType from, WireType to);

}  // namespace levin
