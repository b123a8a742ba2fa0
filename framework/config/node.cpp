#include <levin/framework/config/node.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <limits>
#include <optional>
#include <utility>

#include <levin/framework/core/number_in.h>

namespace levin {
namespace {

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

std::optional<Value> parse_int(std::string_view text) {
  int base = 10;
  if (text.starts_with("0x")) base = 16;
  if (text.starts_with("0o")) base = 8;
  if (base != 10) text.remove_prefix(2);
  if (base == 10 && text.starts_with('+')) text.remove_prefix(1);
  std::string digits(text);
  if (!digits.empty() && digits.back() != '_') std::erase(digits, '_');
  if (auto number = number_in<int64_t>(digits, base)) return Value(*number);
  return std::nullopt;
}

std::optional<Value> parse_float(std::string_view text) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (is_one_of(text, {".nan", ".NaN", ".NAN"})) {
    return Value(std::numeric_limits<double>::quiet_NaN());
  }
  if (is_one_of(text, {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"})) return kInfinity;
  if (is_one_of(text, {"-.inf", "-.Inf", "-.INF"})) return -kInfinity;
  if (text.starts_with('+')) text.remove_prefix(1);
  // from_chars takes "inf" and "nan" as numbers; YAML doesn't.
  if (text.find_first_of("0123456789") == std::string_view::npos) return std::nullopt;
  if (text.find_first_not_of("0123456789+-.eE") != std::string_view::npos) return std::nullopt;
  if (auto number = number_in<double>(text)) return Value(*number);
  return std::nullopt;
}

Value resolve(const std::string& text) {
  if (is_one_of(text, {"", "~", "null", "Null", "NULL"})) return {};
  if (is_one_of(text, {"true", "True", "TRUE"})) return true;
  if (is_one_of(text, {"false", "False", "FALSE"})) return false;
  if (auto number = parse_int(text)) return *number;
  if (auto number = parse_float(text)) return *number;
  return text;
}

}  // namespace

std::string Origin::to_string() const {
  return line > 0 ? file + ":" + std::to_string(line) : file;
}

const ConfigNode* ConfigNode::find(std::string_view key) const {
  for (const auto& each : members) {
    if (each.key == key) return &each.value;
  }
  return nullptr;
}

ConfigNode* ConfigNode::find(std::string_view key) {
  return const_cast<ConfigNode*>(std::as_const(*this).find(key));
}

ConfigNode& ConfigNode::member(std::string_view key, const Origin& where) {
  if (is_null()) {
    kind = Kind::object;
    origin = where;
  }
  if (ConfigNode* found = find(key)) return *found;
  members.push_back({std::string(key), where, null(where)});
  return members.back().value;
}

void ConfigNode::erase(std::string_view key) {
  std::erase_if(members, [&](const ConfigMember& each) { return each.key == key; });
}

Value ConfigNode::plain() const {
  switch (kind) {
    case Kind::null:
      return {};
    case Kind::scalar:
      return quoted ? Value(text) : resolve(text);
    case Kind::list: {
      Value::Array array;
      for (const auto& item : items) array.push_back(item.plain());
      return array;
    }
    case Kind::object: {
      Value::Object object;
      for (const auto& each : members) object.emplace(each.key, each.value.plain());
      return object;
    }
  }
  return {};
}

void set_origin(ConfigNode& node, const Origin& origin) {
  node.origin = origin;
  for (auto& item : node.items) set_origin(item, origin);
  for (auto& member : node.members) {
    member.origin = origin;
    set_origin(member.value, origin);
  }
}

ConfigNode ConfigNode::null(Origin origin) {
  ConfigNode node;
  node.origin = std::move(origin);
  return node;
}

ConfigNode ConfigNode::scalar(std::string text, Origin origin, bool quoted) {
  ConfigNode node = null(std::move(origin));
  node.kind = Kind::scalar;
  node.text = std::move(text);
  node.quoted = quoted;
  return node;
}

ConfigNode ConfigNode::list(Origin origin) {
  ConfigNode node = null(std::move(origin));
  node.kind = Kind::list;
  return node;
}

ConfigNode ConfigNode::object(Origin origin) {
  ConfigNode node = null(std::move(origin));
  node.kind = Kind::object;
  return node;
}

}  // namespace levin
