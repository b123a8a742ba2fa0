#include <levin/datamodules/readers/array.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <string>
#include <utility>

#include <levin/datamodules/readers/bytes.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>

namespace levin::readers {

static_assert(std::endian::native == std::endian::little,
              "LibTorch runs on little-endian machines");

size_t item_size(DType dtype) {
  switch (dtype) {
    case DType::bool_:
    case DType::uint8:
    case DType::int8:
      return 1;
    case DType::uint16:
    case DType::int16:
    case DType::float16:
      return 2;
    case DType::uint32:
    case DType::int32:
    case DType::float32:
      return 4;
    case DType::uint64:
    case DType::int64:
    case DType::float64:
      return 8;
  }
  return 1;
}

std::string_view dtype_name(DType dtype) {
  constexpr std::string_view kNames[] = {"bool",   "uint8",   "uint16",  "uint32",
                                         "uint64", "int8",    "int16",   "int32",
                                         "int64",  "float16", "float32", "float64"};
  return kNames[static_cast<size_t>(dtype)];
}

std::optional<int64_t> element_count(std::span<const int64_t> shape) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  if (std::any_of(shape.begin(), shape.end(), [](int64_t size) { return size < 0; })) return {};
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  int64_t count = 1;
  for (int64_t size : shape) {
    if (count > kMax / size) return {};
    count *= size;
  }
  return count;
}

std::optional<size_t> byte_count(std::span<const int64_t> shape, DType dtype) {
  const auto count = element_count(shape);
  const auto item = static_cast<int64_t>(item_size(dtype));
  if (!count || *count > std::numeric_limits<int64_t>::max() / item) return {};
  return static_cast<size_t>(*count * item);
}

void Array::require_dtype(DType wanted) const {
  if (dtype == wanted) return;
  const std::string held(dtype_name(dtype));
  throw DataError("Array::values: the elements are " + held + ", but " +
                  std::string(dtype_name(wanted)) + " was asked for; " +
                  (dtype == DType::float16
                       ? "float16 has no C++ type here, so use Array::bytes"
                       : "nothing is converted, so ask for the C++ type of " + held));
}

Array Array::copy_of(std::vector<int64_t> shape, DType dtype, std::span<const std::byte> bytes) {
  if (byte_count(shape, dtype) != bytes.size()) {
    const auto wanted = element_count(shape);
    throw DataError("Array::of: " + counted(bytes.size() / item_size(dtype), "value") +
                    " can't fill the shape " + shape_text(shape) +
                    (wanted ? ", which takes " + std::to_string(*wanted) : "") +
                    "; give as many values as the product of the sizes");
  }
  return {std::move(shape), dtype, Bytes(bytes.begin(), bytes.end())};
}

}  // namespace levin::readers
