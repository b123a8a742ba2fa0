#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <c10/core/ScalarType.h>

namespace levin {

/// Names of types of elements in the files of `torch.save` (torch_file.h).

/// The type of a storage class, "torch.FloatStorage"; nothing for a name that isn't known.
std::optional<at::ScalarType> type_of_storage(std::string_view name);
/// The type that PyTorch calls `name`, "torch.float32"; nothing for a name that isn't known.
std::optional<at::ScalarType> type_of_dtype(std::string_view name);
/// The storage class of a type without "torch.", "FloatStorage"; empty for types that have none,
/// such as uint16, which PyTorch stores as bytes with the dtype beside them.
std::string_view storage_name(at::ScalarType type);
/// PyTorch's name of a type without "torch.", "float32"; empty for types that aren't known.
std::string_view dtype_name(at::ScalarType type);

}  // namespace levin
