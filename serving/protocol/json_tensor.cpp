#include <levin/serving/protocol/json_tensor.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/serving/protocol/json_text.h>
#include <levin/serving/protocol/refusal.h>

namespace levin {

namespace {

using simdjson::SUCCESS;
using simdjson::dom::array;
using simdjson::dom::element;

constexpr int64_t kMostElements = int64_t{1} << 40;
constexpr uint64_t kFewElements = 4096;

/// Reads the elements of one array into the data of a tensor, which has room for all that the shape
/// says.
class JsonElements {
 public:
  JsonElements(WireTensor& tensor, std::string_view where) : tensor_(tensor), where_(where) {
    wanted_ = static_cast<uint64_t>(tensor.elements());
  }

  /// Reads an element, or all of those in an array.
  template <class T>
  void read(element value) {
    array values;
    if (value.get(values) != SUCCESS) {
      if (!store<T>(value)) refuse(value);
      return;
    }
    for (const element inner : values) {
      if (!store<T>(inner)) read<T>(inner);
    }
  }

  uint64_t count() const { return count_; }

 private:
  /// Takes an element; returns false if it isn't of the type.
  template <class T>
  bool store(element value) {
    if constexpr (std::is_same_v<T, std::string_view>) {
      std::string_view text;
      if (value.get(text) != SUCCESS) return false;
      append_bytes_element(tensor_.data, text);
    } else {
      T number;
      if (!read_one(value, number)) return false;
      if (count_ < wanted_) {
        std::memcpy(tensor_.data.data() + count_ * sizeof(T), &number, sizeof(T));
      }
    }
    ++count_;
    return true;
  }

  template <class T>
  static bool read_one(element value, T& number) {
    if constexpr (std::is_same_v<T, bool>) {
      int64_t digit = 0;
      if (value.get(number) == SUCCESS) return true;
      if (value.get(digit) != SUCCESS || (digit != 0 && digit != 1)) return false;
      number = digit == 1;
    } else if constexpr (std::is_floating_point_v<T>) {
      double wide = 0.0;
      if (value.get(wide) != SUCCESS) return read_special(value, number);
      if (std::abs(wide) > static_cast<double>(std::numeric_limits<T>::max())) {
        number = static_cast<T>(wide);
        return std::isfinite(number);  // just above the largest float, which it's rounded to
      }
      number = static_cast<T>(wide);
    } else {
      using Wide = std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>;
      Wide wide = 0;
      if (value.get(wide) != SUCCESS || wide > Wide{std::numeric_limits<T>::max()} ||
          wide < Wide{std::numeric_limits<T>::min()}) {
        return false;
      }
      number = static_cast<T>(wide);
    }
    return true;
  }

  template <class T>
  static bool read_special(element value, T& number) {
    std::string_view text;
    if (value.get(text) != SUCCESS) {
      number = std::numeric_limits<T>::quiet_NaN();
      return value.is_null();
    }
    if (text == "NaN") number = std::numeric_limits<T>::quiet_NaN();
    if (text == "Infinity") number = std::numeric_limits<T>::infinity();
    if (text == "-Infinity") number = -std::numeric_limits<T>::infinity();
    return text == "NaN" || text == "Infinity" || text == "-Infinity";
  }

  [[noreturn]] void refuse(element value) const {
    const auto kind = kind_of(value);
    throw Refusal::malformed(fmt::format(
        "{}: element {} is {}, which isn't {}", where_, count_,
        kind == "a number" ? "a number of another type or range" : kind, name_of(tensor_.type)));
  }

  WireTensor& tensor_;
  std::string_view where_;
  uint64_t wanted_ = 0;
  uint64_t count_ = 0;
};

template <class T>
uint64_t read_numbers(element value, std::string_view where, WireTensor& tensor) {
  tensor.data.resize(static_cast<size_t>(tensor.elements()) * sizeof(T));
  JsonElements elements(tensor, where);
  elements.read<T>(value);
  return elements.count();
}

uint64_t read_typed(element value, std::string_view where, WireTensor& tensor) {
  switch (tensor.type) {
    case WireType::boolean:
      return read_numbers<bool>(value, where, tensor);
    case WireType::uint8:
      return read_numbers<uint8_t>(value, where, tensor);
    case WireType::uint16:
      return read_numbers<uint16_t>(value, where, tensor);
    case WireType::uint32:
      return read_numbers<uint32_t>(value, where, tensor);
    case WireType::uint64:
      return read_numbers<uint64_t>(value, where, tensor);
    case WireType::int8:
      return read_numbers<int8_t>(value, where, tensor);
    case WireType::int16:
      return read_numbers<int16_t>(value, where, tensor);
    case WireType::int32:
      return read_numbers<int32_t>(value, where, tensor);
    case WireType::int64:
      return read_numbers<int64_t>(value, where, tensor);
    case WireType::fp32:
      return read_numbers<float>(value, where, tensor);
    case WireType::fp64:
      return read_numbers<double>(value, where, tensor);
    case WireType::fp16:
    case WireType::bf16:
      throw Refusal::malformed(
          fmt::format("{}: {} can only be sent as binary data", where, name_of(tensor.type)));
    case WireType::bytes:
      break;
  }
  tensor.data.clear();
  JsonElements elements(tensor, where);
  elements.read<std::string_view>(value);
  return elements.count();
}

}  // namespace

uint64_t count_json(array values) {
  uint64_t count = 0;
  for (const element value : values) {
    array inner;
    count += value.get(inner) == SUCCESS ? count_json(inner) : 1;
  }
  return count;
}

std::vector<int64_t> read_json_shape(element value, int64_t smallest, const JsonObject& object,
                                     std::string_view name) {
  array sizes;
  if (value.get(sizes) != SUCCESS) {
    throw Refusal::malformed(
        fmt::format("{} must be an array, but is {}", object.path(name), kind_of(value)));
  }
  std::vector<int64_t> shape;
  int64_t product = 1;
  for (const element size : sizes) {
    int64_t number = 0;
    if (size.get(number) != SUCCESS || number < smallest) {
      throw Refusal::malformed(fmt::format("{}[{}] must be an integer of at least {}",
                                           object.path(name), shape.size(), smallest));
    }
    if (shape.size() == kMostDimensions) {
      throw Refusal::malformed(
          fmt::format("{} has more than {} sizes", object.path(name), kMostDimensions));
    }
    shape.push_back(number);
    if (number > kMostElements || (number > 0 && product > kMostElements / number)) {
      throw Refusal::malformed(fmt::format("{} has too many elements", object.path(name)));
    }
    if (number > 0) product *= number;
  }
  return shape;
}

void read_json_data(element value, size_t most, std::string_view where, WireTensor& tensor) {
  array values;
  if (value.get(values) != SUCCESS) {
    throw Refusal::malformed(fmt::format("{} must be an array, but is {}", where, kind_of(value)));
  }
  const auto wanted = static_cast<uint64_t>(tensor.elements());
  // A large tensor takes no memory before its elements are known to be there.
  const bool is_checked =
      wanted > std::min<uint64_t>(most, kFewElements) && values.size() != wanted;
  uint64_t found = is_checked ? count_json(values) : wanted;
  if (found == wanted) found = read_typed(value, where, tensor);
  if (found == wanted) return;
  throw Refusal::malformed(fmt::format("{} has {} elements, but its shape [{}] has {}", where,
                                       found, fmt::join(tensor.shape, ", "), wanted));
}

void read_json_number(element value, std::string_view where, WireTensor& tensor) {
  read_typed(value, where, tensor);
}

}  // namespace levin
