#include <levin/framework/core/value.h>

#include <cctype>
#include <cmath>
#include <string>

namespace levin {
namespace {

bool is_plain_yaml_word(const std::string& text) {
  if (text.empty() || text.size() > 200) return false;
  for (const char c : text) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '/' ||
                       c == '.' || c == '-' || c == '=';
    if (!plain) return false;
  }
  if (!std::isalpha(static_cast<unsigned char>(text[0])) && text[0] != '_') return false;
  for (const char* word :
       {"true", "false", "null", "yes", "no", "y", "n", "on", "off", "nan", "inf"}) {
    std::string lower = text;
    for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (lower == word) return false;
  }
  return true;
}

std::string yaml_scalar(const Value& value) {
  if (value.is_string() && is_plain_yaml_word(value.as_string())) return value.as_string();
  if (value.is_double() && !std::isfinite(value.as_double())) {
    return std::isnan(value.as_double()) ? ".nan" : value.as_double() > 0 ? ".inf" : "-.inf";
  }
  std::string text = value.to_json();
  const size_t exponent = text.find('e');
  if (value.is_double() && exponent < text.find('.')) text.insert(exponent, ".0");  // YAML 1.1
  return text;
}

bool is_flat(const Value& value) {
  if (value.is_object()) return value.as_object().empty();
  if (!value.is_array()) return true;
  for (const auto& item : value.as_array()) {
    if (item.is_array() || item.is_object()) return false;
  }
  return true;
}

std::string yaml_inline(const Value& value) {
  if (!value.is_array()) return yaml_scalar(value);
  std::string text = "[";
  for (const auto& item : value.as_array()) {
    if (text.size() > 1) text += ", ";
    text += yaml_scalar(item);
  }
  return text + "]";
}

void write_yaml(const Value& value, int indent, std::string& out) {
  const std::string pad(static_cast<size_t>(indent), ' ');
  if (value.is_object()) {
    for (const auto& [name, item] : value.as_object()) {
      out += pad + (is_plain_yaml_word(name) ? name : Value(name).to_json()) + ":";
      if (is_flat(item)) {
        out += " " + yaml_inline(item) + "\n";
      } else {
        out += "\n";
        write_yaml(item, indent + 2, out);
      }
    }
    return;
  }
  for (const auto& item : value.as_array()) {
    if (is_flat(item)) {
      out += pad + "- " + yaml_inline(item) + "\n";
      continue;
    }
    std::string nested;
    write_yaml(item, indent + 2, nested);
    nested[static_cast<size_t>(indent)] = '-';  // "  key: ..." becomes "- key: ..."
    out += nested;
  }
}

}  // namespace

std::string Value::to_yaml() const {
  std::string text;
  if (is_flat(*this)) return yaml_inline(*this) + "\n";
  write_yaml(*this, 0, text);
  return text;
}

}  // namespace levin
