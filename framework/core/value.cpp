#include <levin/framework/core/value.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <iterator>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <levin/framework/core/error.h>
#include <levin/framework/core/number_in.h>

namespace levin {
namespace {

using json = nlohmann::json;

// What JSON lacks is written as an object with a single member of one of these names. The last one
// is for objects whose names aren't UTF-8 or could be taken for one of these three.
constexpr const char* kFloat = "$float";  // "nan", "inf", "-inf", or the bits of another NaN
constexpr const char* kBytes = "$bytes";  // text that isn't UTF-8, in hexadecimal
constexpr const char* kPairs = "$pairs";  // an object as [[name, value], ...]
constexpr uint64_t kPlainNan = 0x7ff8'0000'0000'0000;
constexpr size_t kDeepest = 500;  // a file nested deeper could exhaust the stack

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

/// Writes values as nlohmann's dump writes its own, without making a tree of these first: most of
/// what a checkpoint of a small model costs is its JSON.
class JsonWriter {
 public:
  /// Puts each member on a line of its own if `indent`, the spaces of a level, isn't 0.
  JsonWriter(std::string& out, int indent) : out_(out), indent_(indent) {}

  void write(const Value& value) {
    if (value.is_bool()) {
      out_ += value.as_bool() ? "true" : "false";
    } else if (value.is_int()) {
      fmt::format_to(std::back_inserter(out_), "{}", value.as_int());
    } else if (value.is_string()) {
      write_text(value.as_string());
    } else if (value.is_double()) {
      write_number(value.as_double());
    } else if (value.is_array()) {
      open('[');
      for (const auto& item : value.as_array()) {
        begin_item();
        write(item);
      }
      close(']');
    } else if (value.is_object()) {
      write_object(value.as_object());
    } else {
      out_ += "null";
    }
  }

 private:
  void begin_line() {
    if (indent_ > 0) out_.append(1, '\n').append(depth_ * static_cast<size_t>(indent_), ' ');
  }
  void open(char bracket) {
    out_ += bracket;
    ++depth_;
    is_empty_ = true;
  }
  void begin_item() {
    if (!is_empty_) out_ += ',';
    is_empty_ = false;
    begin_line();
  }
  void begin_member(const std::string& name) {
    begin_item();
    write_utf8(name);
    out_ += indent_ > 0 ? ": " : ":";
  }
  void close(char bracket) {
    --depth_;
    if (!is_empty_) begin_line();
    is_empty_ = false;
    out_ += bracket;
  }

  void write_utf8(const std::string& text) {
    const auto is_plain = [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; };
    if (std::all_of(text.begin(), text.end(), is_plain)) {
      out_.append(1, '"').append(text).append(1, '"');
    } else {
      out_ += json(text).dump();
    }
  }
  void write_special(const char* kind, const std::string& word) {
    open('{');
    begin_member(kind);
    write_utf8(word);
    close('}');
  }
  void write_text(const std::string& text) {
    if (is_utf8(text)) return write_utf8(text);
    std::string digits;
    for (const char c : text) digits += fmt::format("{:02x}", static_cast<unsigned char>(c));
    write_special(kBytes, digits);
  }
  void write_number(double number) {
    if (!std::isfinite(number)) return write_special(kFloat, float_word(number));
    out_ += json(number).dump();
  }

  void write_object(const Value::Object& object) {
    bool is_plain = object.size() != 1 || !object.begin()->first.starts_with('$');
    for (const auto& [name, item] : object) is_plain = is_plain && is_utf8(name);
    if (!is_plain) return write_pairs(object);
    open('{');
    for (const auto& [name, item] : object) {
      begin_member(name);
      write(item);
    }
    close('}');
  }
  void write_pairs(const Value::Object& object) {
    open('{');
    begin_member(kPairs);
    open('[');
    for (const auto& [name, item] : object) {
      begin_item();
      open('[');
      begin_item();
      write_text(name);
      begin_item();
      write(item);
      close(']');
    }
    close(']');
    close('}');
  }

  std::string& out_;
  int indent_;
  size_t depth_ = 0;
  bool is_empty_ = true;  // what was opened last has no item yet
};

std::optional<Value> read_float(const std::string& text) {
  if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (text == "inf") return std::numeric_limits<double>::infinity();
  if (text == "-inf") return -std::numeric_limits<double>::infinity();
  const auto bits = number_in<uint64_t>(text, 16);
  if (!bits || text.size() != 16) return {};
  return std::bit_cast<double>(*bits);
}

std::optional<Value> read_bytes(const std::string& digits) {
  std::string text;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    const auto byte = number_in<unsigned char>(std::string_view(digits).substr(i, 2), 16);
    if (!byte) return {};
    text += static_cast<char>(*byte);
  }
  if (digits.size() % 2 != 0) return {};
  return text;
}

std::optional<Value> read_pairs(Value::Array& pairs) {
  const auto is_pair = [](const Value& pair) {
    return pair.is_array() && pair.as_array().size() == 2 && pair.as_array().front().is_string();
  };
  if (!std::all_of(pairs.begin(), pairs.end(), is_pair)) return {};
  Value::Object object;
  for (auto& pair : pairs) {
    object.emplace(pair.as_array().front().as_string(), std::move(pair.as_array().back()));
  }
  return object;
}

/// Returns what an object of one member stands for if `to_json` made it from something that JSON
/// lacks; nothing if it is an ordinary object.
std::optional<Value> read_special(Value::Object& object) {
  if (object.size() != 1) return {};
  const auto& name = object.begin()->first;
  auto& item = object.begin()->second;
  if (name == kFloat && item.is_string()) return read_float(item.as_string());
  if (name == kBytes && item.is_string()) return read_bytes(item.as_string());
  if (name == kPairs && item.is_array()) return read_pairs(item.as_array());
  return {};
}

/// Makes a Value of what nlohmann's parser finds, in time that is proportional to the text. (Its
/// own tree would have to be walked through a second time, and a callback that limits the depth
/// makes it search each list again at the end of every object in it.) The names of the functions
/// are the parser's.
class ValueReader {
 public:
  Value take() { return std::move(root_); }

  bool null() { return put({}); }
  bool boolean(bool value) { return put(value); }
  bool number_integer(int64_t value) { return put(value); }
  bool number_unsigned(uint64_t value) {
    if (!std::in_range<int64_t>(value)) return put(static_cast<double>(value));
    return put(static_cast<int64_t>(value));
  }
  bool number_float(double value, const std::string& /*text*/) { return put(value); }
  bool string(std::string& value) { return put(std::move(value)); }
  bool binary(json::binary_t& /*value*/) { return false; }  // not in JSON text
  bool start_array(size_t /*size*/) { return open(Value::Array{}); }
  bool start_object(size_t /*size*/) { return open(Value::Object{}); }
  bool key(std::string& name) {
    open_.back().name = std::move(name);
    return true;
  }
  bool end_array() { return close(); }
  bool end_object() {
    Value& object = open_.back().value;
    if (auto special = read_special(object.as_object())) object = *std::move(special);
    return close();
  }
  bool parse_error(size_t /*position*/, const std::string& /*token*/,
                   const json::exception& error) {
    throw CheckpointError(fmt::format("not valid JSON: {:.200}", error.what()));
  }

 private:
  /// A list or an object whose end hasn't come yet, and the name of the member that comes next.
  struct Open {
    Value value{};
    std::string name{};
  };

  bool open(Value value) {
    if (open_.size() >= kDeepest) {
      throw CheckpointError(
          fmt::format("the JSON text is nested more than {} levels deep", kDeepest));
    }
    open_.push_back({std::move(value), {}});
    return true;
  }
  bool close() {
    Value value = std::move(open_.back().value);
    open_.pop_back();
    return put(std::move(value));
  }
  bool put(Value value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (Open& around = open_.back(); around.value.is_array()) {
      around.value.as_array().push_back(std::move(value));
    } else {
      around.value.as_object().insert_or_assign(std::move(around.name), std::move(value));
    }
    return true;
  }

  Value root_;
  std::vector<Open> open_;  // the outermost first
};

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
  std::string text;
  JsonWriter(text, std::max(indent, 0)).write(*this);
  return text;
}

Value Value::from_json(std::string_view text) {
  ValueReader reader;
  json::sax_parse(text, &reader);
  return reader.take();
}

}  // namespace levin
