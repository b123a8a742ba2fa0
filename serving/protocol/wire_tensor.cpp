#include <levin/serving/protocol/wire_tensor.h>

#include <array>

#include <fmt/format.h>

#include <levin/serving/protocol/refusal.h>

namespace levin {

namespace {

struct WireTypeRow {
  std::string_view name;
  size_t size;
};

/// In the order of WireType.
constexpr std::array<WireTypeRow, 14> kWireTypes = {{{"BOOL", 1},
                                                     {"UINT8", 1},
                                                     {"UINT16", 2},
                                                     {"UINT32", 4},
                                                     {"UINT64", 8},
                                                     {"INT8", 1},
                                                     {"INT16", 2},
                                                     {"INT32", 4},
                                                     {"INT64", 8},
                                                     {"FP16", 2},
                                                     {"BF16", 2},
                                                     {"FP32", 4},
                                                     {"FP64", 8},
                                                     {"BYTES", 0}}};

}  // namespace

std::string_view name_of(WireType type) { return kWireTypes.at(static_cast<size_t>(type)).name; }

std::optional<WireType> wire_type(std::string_view name) {
  for (size_t i = 0; i < kWireTypes.size(); ++i) {
    if (kWireTypes[i].name == name) return static_cast<WireType>(i);
  }
  return {};
}

size_t element_size(WireType type) { return kWireTypes.at(static_cast<size_t>(type)).size; }

int64_t WireTensor::elements() const {
  int64_t product = 1;
  for (const int64_t size : shape) product *= size;
  return product;
}

std::vector<std::string_view> bytes_elements(const WireTensor& tensor) {
  const auto wanted = static_cast<uint64_t>(tensor.elements());
  std::string_view rest = tensor.data;
  std::vector<std::string_view> elements;
  while (!rest.empty()) {
    uint32_t length = 0;
    for (size_t i = 0; i < 4 && i < rest.size(); ++i) {
      length |= uint32_t{static_cast<unsigned char>(rest[i])} << (8 * i);
    }
    if (rest.size() < 4 || rest.size() - 4 < length) {
      throw Refusal::malformed(fmt::format(
          "the data of the BYTES tensor '{}' end within element {}", tensor.name, elements.size()));
    }
    elements.push_back(rest.substr(4, length));
    rest.remove_prefix(size_t{4} + length);
    if (elements.size() > wanted) break;
  }
  if (elements.size() == wanted) return elements;
  throw Refusal::malformed(
      fmt::format("the BYTES tensor '{}' has {} elements, but its shape has {}", tensor.name,
                  elements.size() > wanted ? "more" : fmt::format("{}", elements.size()), wanted));
}

void append_bytes_element(std::string& data, std::string_view element) {
  for (size_t i = 0; i < 4; ++i) {
    data.push_back(static_cast<char>(static_cast<unsigned char>(element.size() >> (8 * i))));
  }
  data.append(element);
}

}  // namespace levin
