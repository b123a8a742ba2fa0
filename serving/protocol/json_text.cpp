#include <levin/serving/protocol/json_text.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include <levin/framework/core/utf8.h>
#include <levin/serving/protocol/refusal.h>

namespace levin {

namespace {

/// Whether a byte of a text is an ASCII character that stands for itself in JSON.
bool needs_no_escape(char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; }

template <class T>
void append_chars(std::string& json, T value) {
  std::array<char, 32> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  json.append(digits.data(), end);
}

template <class T>
void append_real(std::string& json, T value) {
  if (std::isfinite(value)) return append_chars(json, value);
  json += "null";
}

/// Appends the elements of a tensor that are `Stored`, as what `Shown` is written as.
template <class Stored, class Shown>
void append_elements(std::string& json, const WireTensor& tensor) {
  const size_t count = tensor.data.size() / sizeof(Stored);
  for (size_t i = 0; i < count; ++i) {
    Stored value;
    std::memcpy(&value, tensor.data.data() + i * sizeof(Stored), sizeof(Stored));
    if (i > 0) json += ',';
    append_json(json, static_cast<Shown>(value));
  }
}

}  // namespace

void append_json(std::string& json, std::string_view text) {
  json += '"';
  const auto plain = static_cast<size_t>(
      std::find_if_not(text.begin(), text.end(), needs_no_escape) - text.begin());
  json.append(text.substr(0, plain));
  text.remove_prefix(plain);
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    const char c = text.front();
    if (length == 0) {
      json += "\xef\xbf\xbd";
    } else if (c == '"' || c == '\\') {
      json += '\\';
      json += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      json += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      json.append(text.substr(0, length));
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  json += '"';
}

void append_json(std::string& json, int64_t value) { append_chars(json, value); }
void append_json(std::string& json, uint64_t value) { append_chars(json, value); }
void append_json(std::string& json, float value) { append_real(json, value); }
void append_json(std::string& json, double value) { append_real(json, value); }
void append_json(std::string& json, bool value) { json += value ? "true" : "false"; }

void append_json_key(std::string& json, std::string_view name) {
  append_json(json, name);
  json += ':';
}

void append_json_shape(std::string& json, const std::vector<int64_t>& shape) {
  json += '[';
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) json += ',';
    append_json(json, shape[i]);
  }
  json += ']';
}

void append_json_data(std::string& json, const WireTensor& tensor) {
  json += '[';
  switch (tensor.type) {
    case WireType::boolean:
      append_elements<uint8_t, bool>(json, tensor);
      break;
    case WireType::uint8:
      append_elements<uint8_t, uint64_t>(json, tensor);
      break;
    case WireType::uint16:
      append_elements<uint16_t, uint64_t>(json, tensor);
      break;
    case WireType::uint32:
      append_elements<uint32_t, uint64_t>(json, tensor);
      break;
    case WireType::uint64:
      append_elements<uint64_t, uint64_t>(json, tensor);
      break;
    case WireType::int8:
      append_elements<int8_t, int64_t>(json, tensor);
      break;
    case WireType::int16:
      append_elements<int16_t, int64_t>(json, tensor);
      break;
    case WireType::int32:
      append_elements<int32_t, int64_t>(json, tensor);
      break;
    case WireType::int64:
      append_elements<int64_t, int64_t>(json, tensor);
      break;
    case WireType::fp32:
      append_elements<float, float>(json, tensor);
      break;
    case WireType::fp64:
      append_elements<double, double>(json, tensor);
      break;
    case WireType::fp16:
    case WireType::bf16:
      throw Refusal::malformed(fmt::format(
          "'{}' is {}, which JSON can't hold; ask for it with the parameter binary_data",
          tensor.name, name_of(tensor.type)));
    case WireType::bytes: {
      bool is_first = true;
      for (const auto element : bytes_elements(tensor)) {
        if (!is_first) json += ',';
        is_first = false;
        append_json(json, element);
      }
    }
  }
  json += ']';
}

void append_json_tensor(std::string& json, const WireTensor& tensor, bool binary,
                        std::string& tail) {
  json += "{\"name\":";
  append_json(json, std::string_view(tensor.name));
  json += ",\"datatype\":\"";
  json += name_of(tensor.type);
  json += "\",\"shape\":";
  append_json_shape(json, tensor.shape);
  if (binary) {
    json += ",\"parameters\":{\"binary_data_size\":";
    append_json(json, uint64_t{tensor.data.size()});
    json += "}}";
    tail += tensor.data;
    return;
  }
  json += ",\"data\":";
  append_json_data(json, tensor);
  json += '}';
}

}  // namespace levin
