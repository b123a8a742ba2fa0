#include <levin/tuning/space/python_json.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/number_in.h>

namespace levin {
namespace {

constexpr int kMostJsonLevels = 500;

/// Decodes the UTF-8 character at `at` and moves behind it. Returns U+FFFD for a byte that doesn't
/// begin a character.
uint32_t next_utf8(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const uint32_t first = byte(at);
  const size_t length = first < 0x80   ? 1
                        : first < 0xC2 ? 0
                        : first < 0xE0 ? 2
                        : first < 0xF0 ? 3
                        : first < 0xF5 ? 4
                                       : 0;
  const size_t begin = at++;
  if (length == 1) return first;
  if (length == 0 || begin + length > text.size()) return 0xFFFD;
  uint32_t code = first & (0xFFU >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(begin + i) & 0xC0U) != 0x80U) return 0xFFFD;
    code = code << 6U | (byte(begin + i) & 0x3FU);
  }
  const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  if (overlong || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return 0xFFFD;
  at = begin + length;
  return code;
}

void append_utf8(std::string& out, uint32_t code) {
  const auto put = [&](uint32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0U | code >> 6U);
    put(0x80U | (code & 0x3FU));
  } else if (code < 0x10000) {
    put(0xE0U | code >> 12U);
    put(0x80U | (code >> 6U & 0x3FU));
    put(0x80U | (code & 0x3FU));
  } else {
    put(0xF0U | code >> 18U);
    put(0x80U | (code >> 12U & 0x3FU));
    put(0x80U | (code >> 6U & 0x3FU));
    put(0x80U | (code & 0x3FU));
  }
}

void write_text(std::string& out, std::string_view text) {
  out += '"';
  for (size_t at = 0; at < text.size();) {
    const uint32_t code = next_utf8(text, at);
    if (code == '"' || code == '\\') {
      out += '\\';
      out += static_cast<char>(code);
    } else if (code == '\n') {
      out += "\\n";
    } else if (code >= 0x20 && code < 0x7F) {
      out += static_cast<char>(code);
    } else if (code < 0x10000) {
      out += fmt::format("\\u{:04x}", code);
    } else {
      const uint32_t rest = code - 0x10000;
      out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (rest >> 10U), 0xDC00 + (rest & 0x3FFU));
    }
  }
  out += '"';
}

void write_double(std::string& out, double number) {
  if (std::isnan(number)) {
    out += "NaN";
  } else if (std::isinf(number)) {
    out += number > 0 ? "Infinity" : "-Infinity";
  } else {
    const std::string text = fmt::format("{}", number);
    out += text;
    if (text.find_first_of(".e") == std::string::npos) out += ".0";
  }
}

void write_value(std::string& out, const Value& value) {
  if (value.is_null()) {
    out += "null";
  } else if (value.is_bool()) {
    out += value.as_bool() ? "true" : "false";
  } else if (value.is_int()) {
    out += std::to_string(value.as_int());
  } else if (value.is_double()) {
    write_double(out, value.as_double());
  } else if (value.is_string()) {
    write_text(out, value.as_string());
  } else if (value.is_array()) {
    out += '[';
    for (const Value& item : value.as_array()) {
      if (&item != value.as_array().data()) out += ',';
      write_value(out, item);
    }
    out += ']';
  } else {
    out += '{';
    bool first = true;
    for (const auto& [name, member] : value.as_object()) {
      if (!first) out += ',';
      first = false;
      write_text(out, name);
      out += ':';
      write_value(out, member);
    }
    out += '}';
  }
}

class PythonJsonReader {
 public:
  explicit PythonJsonReader(std::string_view text) : text_(text) {}

  Value whole() {
    Value value = read(0);
    skip_space();
    if (at_ != text_.size()) fail("expected the end of the text");
    return value;
  }

 private:
  [[noreturn]] void fail(std::string_view what) const {
    throw DataError(fmt::format("JSON, byte {}: {}; found '{}'", at_ + 1, what,
                                shortened(text_.substr(at_, 20))));
  }

  void skip_space() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) {
      ++at_;
    }
  }

  bool take(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  void expect(char character) {
    skip_space();
    if (at_ == text_.size() || text_[at_] != character) {
      fail(fmt::format("expected '{}'", character));
    }
    ++at_;
  }

  Value read(int level) {
    if (level > kMostJsonLevels) fail("nested more than 500 levels deep");
    skip_space();
    if (at_ == text_.size()) fail("expected a value");
    const char first = text_[at_];
    if (first == '{') return read_object(level);
    if (first == '[') return read_array(level);
    if (first == '"') return read_text();
    if (take("null")) return {};
    if (take("true")) return true;
    if (take("false")) return false;
    if (take("NaN")) return std::numeric_limits<double>::quiet_NaN();
    if (take("Infinity")) return std::numeric_limits<double>::infinity();
    if (take("-Infinity")) return -std::numeric_limits<double>::infinity();
    return read_number();
  }

  Value read_object(int level) {
    Value::Object members;
    expect('{');
    skip_space();
    if (take("}")) return members;
    for (;;) {
      skip_space();
      std::string name = read_text();
      expect(':');
      members[std::move(name)] = read(level + 1);
      skip_space();
      if (take("}")) return members;
      expect(',');
    }
  }

  Value read_array(int level) {
    Value::Array items;
    expect('[');
    skip_space();
    if (take("]")) return items;
    for (;;) {
      items.push_back(read(level + 1));
      skip_space();
      if (take("]")) return items;
      expect(',');
    }
  }

  uint32_t read_hexadecimal() {
    const std::string_view digits = text_.substr(at_, 4);
    const auto code = number_in<uint32_t>(digits, 16);
    if (digits.size() != 4 || !code) fail("expected four hex digits");
    at_ += 4;
    return *code;
  }

  void read_escape(std::string& out) {
    static constexpr std::string_view kNames = "\"\\/bfnrt";
    static constexpr std::string_view kCharacters = "\"\\/\b\f\n\r\t";
    if (at_ == text_.size()) fail("the text ends in an escape");
    const size_t known = kNames.find(text_[at_]);
    if (known != std::string_view::npos) {
      out += kCharacters[known];
      ++at_;
      return;
    }
    if (!take("u")) fail("unknown escape");
    uint32_t code = read_hexadecimal();
    if (code >= 0xD800 && code < 0xDC00 && text_.substr(at_, 2) == "\\u") {
      const size_t before = at_;
      at_ += 2;
      const uint32_t low = read_hexadecimal();
      if (low >= 0xDC00 && low < 0xE000) {
        code = 0x10000 + ((code - 0xD800) << 10U) + (low - 0xDC00);
      } else {
        at_ = before;
      }
    }
    append_utf8(out, code >= 0xD800 && code < 0xE000 ? 0xFFFD : code);
  }

  std::string read_text() {
    expect('"');
    std::string out;
    for (;;) {
      const size_t end = text_.find_first_of("\"\\", at_);
      if (end == std::string_view::npos) {
        at_ = text_.size();
        fail("a text has no end");
      }
      out += text_.substr(at_, end - at_);
      at_ = end + 1;
      if (text_[end] == '"') return out;
      read_escape(out);
    }
  }

  Value read_number() {
    const size_t end = std::min(text_.find_first_not_of("0123456789+-.eE", at_), text_.size());
    const std::string_view digits = text_.substr(at_, end - at_);
    if (const auto whole = number_in<int64_t>(digits)) {
      at_ = end;
      return *whole;
    }
    double number = 0.0;
    const char* last = digits.data() + digits.size();
    const auto result = std::from_chars(digits.data(), last, number);
    if (digits.empty() || result.ptr != last || result.ec == std::errc::invalid_argument) {
      fail("expected a value");
    }
    // Beyond the range of a double, as Python reads it: infinity, or 0.
    if (result.ec != std::errc()) number = std::strtod(std::string(digits).c_str(), nullptr);
    at_ = end;
    return number;
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

std::string to_python_json(const Value& value) {
  std::string out;
  write_value(out, value);
  return out;
}

Value from_python_json(std::string_view text) { return PythonJsonReader(text).whole(); }

}  // namespace levin
