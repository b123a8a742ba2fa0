#include <levin/framework/core/value_yaml.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <string>

#include <yaml-cpp/yaml.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/small_letters.h>

namespace levin {
namespace {

// YAML takes a key of more than 1024 characters, quotes and escapes included, only after a "?".
constexpr size_t kLongestSimpleKey = 128;

/// Returns whether every reader of YAML reads this as text if it is written without quotes.
bool is_plain_word(const std::string& text) {
  const auto is_letter = [](char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; };
  const auto is_plain = [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') ||
           std::string_view("_/.-=").find(c) != std::string_view::npos;
  };
  if (text.empty() || text.size() > 200 || !(is_letter(text[0]) || text[0] == '_')) return false;
  if (!std::all_of(text.begin(), text.end(), is_plain)) return false;
  const std::string lower = to_small_letters(text);
  for (const char* word :
       {"true", "false", "null", "yes", "no", "y", "n", "on", "off", "nan", "inf"}) {
    if (lower == word) return false;
  }
  return true;
}

/// Returns whether yaml-cpp reads the text back unchanged if it is written in quotes. It replaces
/// what isn't UTF-8, and code points that aren't characters, by U+FFFD.
bool survives_quotes(const std::string& text) {
  const auto is_printable = [](char c) { return c >= ' ' && c <= '~'; };
  if (std::all_of(text.begin(), text.end(), is_printable)) return true;
  YAML::Emitter out;
  out << YAML::DoubleQuoted << text;
  return YAML::Load(out.c_str()).Scalar() == text;
}

/// Writes a scalar exactly as given. `out << text` would put quotes around some of these texts, and
/// `out << number` would write fewer digits.
void emit_plain(YAML::Emitter& out, const std::string& text) { out.WriteIntegralType(text); }

void emit_text(YAML::Emitter& out, const std::string& text) {
  if (is_plain_word(text)) {
    emit_plain(out, text);
  } else if (survives_quotes(text)) {
    out << YAML::DoubleQuoted << text;
  } else {
    out << YAML::Binary(reinterpret_cast<const unsigned char*>(text.data()), text.size());
  }
}

std::string number_text(double number) {
  if (std::isnan(number)) return ".nan";
  if (std::isinf(number)) return number > 0 ? ".inf" : "-.inf";
  std::string text = Value(number).to_json();
  const size_t exponent = text.find('e');
  // Without a point, YAML 1.1 reads 1e-05 as text.
  if (exponent < text.find('.')) text.insert(exponent, ".0");
  return text;
}

bool is_scalar(const Value& value) { return !value.is_array() && !value.is_object(); }

void emit_array(YAML::Emitter& out, const Value::Array& array) {
  if (std::all_of(array.begin(), array.end(), is_scalar)) out << YAML::Flow;
  out << YAML::BeginSeq;
  for (const auto& item : array) emit(out, item);
  out << YAML::EndSeq;
}

void emit_object(YAML::Emitter& out, const Value::Object& object) {
  if (object.empty()) out << YAML::Flow;
  out << YAML::BeginMap;
  for (const auto& [name, item] : object) {
    if (name.size() > kLongestSimpleKey) out << YAML::LongKey;
    out << YAML::Key;
    emit_text(out, name);
    out << YAML::Value;
    emit(out, item);
  }
  out << YAML::EndMap;
}

}  // namespace

void emit(YAML::Emitter& out, const Value& value) {
  if (value.is_object()) {
    emit_object(out, value.as_object());
  } else if (value.is_array()) {
    emit_array(out, value.as_array());
  } else if (value.is_string()) {
    emit_text(out, value.as_string());
  } else {
    emit_plain(out, value.is_double() ? number_text(value.as_double()) : value.to_json());
  }
}

std::string take_yaml(const YAML::Emitter& out) {
  if (!out.good()) throw Error("writing YAML failed: " + out.GetLastError());
  return std::string(out.c_str(), out.size()) + "\n";
}

std::string Value::to_yaml() const {
  YAML::Emitter out;
  emit(out, *this);
  return take_yaml(out);
}

}  // namespace levin
