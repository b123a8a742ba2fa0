#include <levin/framework/checkpoint/torch_types.h>

namespace levin {
namespace {

struct TorchType {
  at::ScalarType type;
  std::string_view dtype;
  std::string_view storage;
};

constexpr TorchType kTorchTypes[] = {
    {at::kFloat, "float32", "FloatStorage"},
    {at::kDouble, "float64", "DoubleStorage"},
    {at::kHalf, "float16", "HalfStorage"},
    {at::kBFloat16, "bfloat16", "BFloat16Storage"},
    {at::kLong, "int64", "LongStorage"},
    {at::kInt, "int32", "IntStorage"},
    {at::kShort, "int16", "ShortStorage"},
    {at::kChar, "int8", "CharStorage"},
    {at::kByte, "uint8", "ByteStorage"},
    {at::kBool, "bool", "BoolStorage"},
    {at::kComplexFloat, "complex64", "ComplexFloatStorage"},
    {at::kComplexDouble, "complex128", "ComplexDoubleStorage"},
    {at::kUInt16, "uint16", ""},
    {at::kUInt32, "uint32", ""},
    {at::kUInt64, "uint64", ""},
    {at::kFloat8_e4m3fn, "float8_e4m3fn", ""},
    {at::kFloat8_e5m2, "float8_e5m2", ""},
};

constexpr std::string_view kTorchPrefix = "torch.";

}  // namespace

std::optional<at::ScalarType> type_of_storage(std::string_view name) {
  if (!name.starts_with(kTorchPrefix)) return {};
  name.remove_prefix(kTorchPrefix.size());
  for (const auto& known : kTorchTypes) {
    if (known.storage == name && !name.empty()) return known.type;
  }
  return {};
}

std::optional<at::ScalarType> type_of_dtype(std::string_view name) {
  if (!name.starts_with(kTorchPrefix)) return {};
  name.remove_prefix(kTorchPrefix.size());
  for (const auto& known : kTorchTypes) {
    if (known.dtype == name) return known.type;
  }
  return {};
}

std::string_view storage_name(at::ScalarType type) {
  for (const auto& known : kTorchTypes) {
    if (known.type == type) return known.storage;
  }
  return {};
}

std::string_view dtype_name(at::ScalarType type) {
  for (const auto& known : kTorchTypes) {
    if (known.type == type) return known.dtype;
  }
  return {};
}

}  // namespace levin
