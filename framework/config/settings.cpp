#include <levin/framework/config/settings.h>

#include <algorithm>
#include <variant>

#include <fmt/format.h>

namespace levin {
namespace {

template <class T>
bool holds(const Field& field) {
  return std::holds_alternative<T*>(field.value);
}

bool can_be_null(const Field& field) {
  return holds<std::optional<bool>>(field) || holds<std::optional<int64_t>>(field) ||
         holds<std::optional<double>>(field) || holds<std::optional<std::string>>(field);
}

bool is_text(const Field& field) {
  return holds<std::string>(field) || holds<std::optional<std::string>>(field);
}

/// The value of a text setting: `00123` or `1.10` stays as it was written and isn't a number, and
/// so does `{epoch}` on the command line.
Value as_text(const ConfigNode& node) {
  const bool is_text = node.is_scalar() ? !node.plain().is_null() : !node.text.empty();
  return is_text ? Value(node.text) : node.plain();
}

Value value_for(const Field& field, const ConfigNode& node) {
  if (is_text(field)) {
    const Value text = as_text(node);
    const bool null_is_empty = holds<std::string>(field) && field.get() == Value("");
    return text.is_null() && null_is_empty ? Value("") : text;
  }
  if (holds<std::vector<std::string>>(field) && node.is_list()) {
    Value::Array array;
    for (const auto& item : node.items) array.push_back(as_text(item));
    return array;
  }
  return node.plain();
}

/// Whether an option of the command line for this setting may come without a value.
bool is_switch_setting(const Field& field) {
  return holds<bool>(field) || holds<std::optional<bool>>(field) || holds<SwitchOrCount>(field) ||
         holds<SwitchOrName>(field);
}

void set_field(const Field& field, const ConfigMember& member, std::string_view place,
               const ReadOptions& options) {
  const bool is_empty_text = is_text(field) && member.value.text.empty();  // --data.x=
  const bool is_switched_on = is_switch_setting(field) && !member.value.text.empty();
  if (member.value.lacks_value && !is_empty_text && !is_switched_on) {
    require_value(member.value, fmt::format("{}.{}", place, field.name), field.type_name());
  }
  const Value plain = value_for(field, member.value);
  if (plain.is_null() && options.null_keeps_default && !can_be_null(field)) return;
  try {
    field.set(plain);
  } catch (const ConfigError& error) {
    const Origin& where = member.value.is_null() ? member.origin : member.value.origin;
    std::string hint;
    if (field.type_name().starts_with("list of") && member.value.is_scalar()) {
      const std::string& text = member.value.text;
      if (!text.starts_with('[')) {
        hint = fmt::format("; a list of one is written as [{}]", shortened(text));
      } else if (!text.ends_with(']')) {
        hint = "; its closing ] is missing";
      }
    }
    throw ConfigError(fmt::format("{}: {}.{}{}", where.to_string(), place, error.what(), hint));
  }
}

/// The name of another class that has the setting, or "".
std::string class_with(const ReadOptions& options, std::string_view setting) {
  return options.other_class_with ? options.other_class_with(setting) : std::string();
}

}  // namespace

std::vector<std::string> read_settings(const Fields& fields, const ConfigNode& object,
                                       std::string_view place, const ReadOptions& options) {
  require_object(object, place);
  std::vector<std::string> known;
  for (const auto& field : fields) known.push_back(field.name);
  known.insert(known.end(), options.other_keys.begin(), options.other_keys.end());

  std::vector<std::string> ignored;
  for (const auto& member : object.members) {
    const auto field = std::find_if(fields.begin(), fields.end(),
                                    [&](const Field& each) { return each.name == member.key; });
    if (field != fields.end()) {
      set_field(*field, member, place, options);
    } else if (std::find(known.begin(), known.end(), member.key) != known.end()) {
      continue;
    } else if (const std::string other = class_with(options, member.key); !other.empty()) {
      ignored.push_back(
          fmt::format("{} ({}, a setting of {})", member.key, member.origin.to_string(), other));
    } else {
      known.insert(known.end(), options.keys_around.begin(), options.keys_around.end());
      throw ConfigError::unknown_name("key", member.key, known,
                                      fmt::format("{}: {}", member.origin.to_string(), place));
    }
  }
  return ignored;
}

void throw_at(const ConfigError& error, const ConfigNode& object, std::string_view place) {
  const std::string_view message = error.what();
  for (const auto& member : object.members) {
    if (message.starts_with(member.key + " = ") ||
        message.starts_with(fmt::format("unknown {} '", member.key))) {
      const std::string_view separator = message.starts_with("unknown ") ? ": " : ".";
      throw ConfigError(
          fmt::format("{}: {}{}{}", member.origin.to_string(), place, separator, message));
    }
  }
  const std::string where = object.origin.to_string();
  throw ConfigError(where.empty() ? fmt::format("{}: {}", place, message)
                                  : fmt::format("{}: {}: {}", where, place, message));
}

void require_value(const ConfigNode& node, std::string_view place, std::string_view expected) {
  if (!node.lacks_value) return;
  throw ConfigError(fmt::format("{0}: --{1} needs a value: --{1}=VALUE, {2}",
                                node.origin.to_string(), place, expected));
}

void require_object(const ConfigNode& node, std::string_view place) {
  if (node.is_object() || node.is_null()) return;
  throw ConfigError(fmt::format("{}: {} = {}: expected settings, `key: value` lines",
                                node.origin.to_string(), place, shortened(node.plain().to_json())));
}

}  // namespace levin
