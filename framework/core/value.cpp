#include <levin/framework/core/value.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

using json = nlohmann::json;

// What JSON lacks is written as an object with a single member of one of these names. The last one
// is for objects whose names aren't UTF-8 or could be taken for one of these three.
constexpr const char* kFloat = "$float";  // "nan", "inf", "-inf", or the bits of another NaN
constexpr const char* kBytes = "$bytes";  // text that isn't UTF-8, in hexadecimal
constexpr const char* kPairs = "$pairs";  // an object as [[name, value], ...]
constexpr uint64_t kPlainNan = 0x7ff8'0000'0000'0000;
constexpr int kDeepest = 500;  // a file nested deeper could exhaust the stack

bool is_utf8(const std::string& text) {
  const auto is_ascii = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
  if (std::all_of(text.begin(), text.end(), is_ascii)) return true;
  try {
    json(text).dump();
    return true;
  } catch (const json::type_error&) {
    return false;
  }
}

std::string float_word(double number) {
  if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
  const auto bits = std::bit_cast<uint64_t>(number);
  return bits == kPlainNan ? "nan" : fmt::format("{:016x}", bits);
}

json text_to_json(const std::string& text) {
  if (is_utf8(text)) return text;
  std::string digits;
  for (const char c : text) digits += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return {{kBytes, digits}};
}

json to_nlohmann(const Value& value);

json object_to_json(const Value::Object& object) {
  bool is_plain = object.size() != 1 || !object.begin()->first.starts_with('$');
  for (const auto& [name, item] : object) is_plain = is_plain && is_utf8(name);
  json plain = json::object();
  json pairs = json::array();
  for (const auto& [name, item] : object) {
    if (is_plain) {
      plain[name] = to_nlohmann(item);
    } else {
      pairs.push_back(json::array({text_to_json(name), to_nlohmann(item)}));
    }
  }
  return is_plain ? plain : json{{kPairs, pairs}};
}

json to_nlohmann(const Value& value) {
  if (value.is_bool()) return value.as_bool();
  if (value.is_int()) return value.as_int();
  if (value.is_string()) return text_to_json(value.as_string());
  if (value.is_double()) {
    const double number = value.as_double();
    if (std::isfinite(number)) return number;
    return {{kFloat, float_word(number)}};
  }
  if (value.is_array()) {
    json array = json::array();
    for (const auto& item : value.as_array()) array.push_back(to_nlohmann(item));
    return array;
  }
  if (value.is_object()) return object_to_json(value.as_object());
  return nullptr;
}

[[noreturn]] void refuse_nesting() {
  throw CheckpointError(fmt::format("the JSON text is nested more than {} levels deep", kDeepest));
}

Value from_nlohmann(const json& json, int depth);

std::optional<Value> read_float(const std::string& text) {
  if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (text == "inf") return std::numeric_limits<double>::infinity();
  if (text == "-inf") return -std::numeric_limits<double>::infinity();
  uint64_t bits = 0;
  const char* end = text.data() + text.size();
  if (std::from_chars(text.data(), end, bits, 16).ptr != end || text.size() != 16) return {};
  return std::bit_cast<double>(bits);
}

std::optional<Value> read_bytes(const std::string& digits) {
  std::string text;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    unsigned char byte = 0;
    const char* end = digits.data() + i + 2;
    if (std::from_chars(end - 2, end, byte, 16).ptr != end) return {};
    text += static_cast<char>(byte);
  }
  if (digits.size() % 2 != 0) return {};
  return text;
}

std::optional<Value> read_pairs(const json& pairs, int depth) {
  Value::Object object;
  for (const auto& pair : pairs) {
    if (!pair.is_array() || pair.size() != 2) return {};
    const Value name = from_nlohmann(pair[0], depth);
    if (!name.is_string()) return {};
    object.emplace(name.as_string(), from_nlohmann(pair[1], depth));
  }
  return object;
}

/// Returns what an object of one member stands for if `to_json` made it from something that JSON
/// lacks; nothing if it is an ordinary object.
std::optional<Value> read_special(const json& object, int depth) {
  if (object.size() != 1) return {};
  const auto& name = object.begin().key();
  const auto& item = object.begin().value();
  if (name == kFloat && item.is_string()) return read_float(item.get<std::string>());
  if (name == kBytes && item.is_string()) return read_bytes(item.get<std::string>());
  if (name == kPairs && item.is_array()) return read_pairs(item, depth);
  return {};
}

Value from_nlohmann(const json& node, int depth) {
  if (depth > kDeepest) refuse_nesting();
  if (node.is_boolean()) return node.get<bool>();
  if (node.is_number_unsigned() && !std::in_range<int64_t>(node.get<uint64_t>())) {
    return node.get<double>();
  }
  if (node.is_number_integer()) return node.get<int64_t>();
  if (node.is_number()) return node.get<double>();
  if (node.is_string()) return node.get<std::string>();
  if (node.is_array()) {
    Value::Array array;
    for (const auto& item : node) array.push_back(from_nlohmann(item, depth + 1));
    return array;
  }
  if (node.is_object()) {
    if (auto special = read_special(node, depth + 1)) return *std::move(special);
    Value::Object object;
    for (const auto& [name, item] : node.items()) {
      object.emplace(name, from_nlohmann(item, depth + 1));
    }
    return object;
  }
  return {};
}

[[noreturn]] void wrong_type(const Value& value, std::string_view expected) {
  throw CheckpointError(fmt::format("expected {} in a saved state, found {}", expected,
                                    shortened(value.to_json(), 60)));
}

}  // namespace

Value::Value() = default;
Value::Value(const Value& other) = default;
Value::Value(Value&& other) noexcept = default;
Value& Value::operator=(const Value& other) = default;
Value& Value::operator=(Value&& other) noexcept = default;
Value::~Value() = default;

bool Value::as_bool() const {
  if (!is_bool()) wrong_type(*this, "true or false");
  return std::get<bool>(data_);
}

int64_t Value::as_int() const {
  if (!is_int()) wrong_type(*this, "a whole number");
  return std::get<int64_t>(data_);
}

double Value::as_double() const {
  if (is_int()) return static_cast<double>(std::get<int64_t>(data_));
  if (!is_double()) wrong_type(*this, "a number");
  return std::get<double>(data_);
}

const std::string& Value::as_string() const& {
  if (!is_string()) wrong_type(*this, "text");
  return std::get<std::string>(data_);
}

const Value::Array& Value::as_array() const& {
  if (!is_array()) wrong_type(*this, "a list");
  return std::get<Array>(data_);
}

Value::Array& Value::as_array() & {
  if (!is_array()) wrong_type(*this, "a list");
  return std::get<Array>(data_);
}

const Value::Object& Value::as_object() const& {
  if (!is_object()) wrong_type(*this, "an object");
  return std::get<Object>(data_);
}

Value::Object& Value::as_object() & {
  if (!is_object()) wrong_type(*this, "an object");
  return std::get<Object>(data_);
}

const Value& Value::at(std::string_view name) const& {
  const auto& object = as_object();
  const auto found = object.find(name);
  if (found == object.end()) {
    throw CheckpointError(fmt::format("a saved state has no member '{}'", name));
  }
  return found->second;
}

Value& Value::operator[](std::string_view name) {
  if (is_null()) data_ = Object{};
  return as_object().try_emplace(std::string(name)).first->second;
}

bool Value::contains(std::string_view name) const {
  return is_object() && as_object().find(name) != as_object().end();
}

std::string Value::to_json(int indent) const {
  return to_nlohmann(*this).dump(indent > 0 ? indent : -1);
}

Value Value::from_json(std::string_view text) {
  // The parser itself would go on to any depth, and take a hundred bytes for each bracket.
  const auto refuse_depth = [](int depth, json::parse_event_t, const json&) {
    if (depth > kDeepest) refuse_nesting();
    return true;
  };
  try {
    return from_nlohmann(json::parse(text, refuse_depth), 0);
  } catch (const json::exception& error) {
    throw CheckpointError(fmt::format("not valid JSON: {:.200}", error.what()));
  }
}

}  // namespace levin
