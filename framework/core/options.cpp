#include <levin/framework/core/options.h>

#include <type_traits>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

// There is one codec for each type of setting. `name` is the type's name in messages, `get` makes a
// plain value of a setting, and `set` stores a plain value, or returns false if it is of a wrong
// type.
template <class T>
struct Codec;

template <>
struct Codec<bool> {
  static std::string name() { return "bool"; }
  static Value get(bool value) { return value; }
  static bool set(const Value& plain, bool& out) {
    if (plain.is_bool()) out = plain.as_bool();
    return plain.is_bool();
  }
};

template <>
struct Codec<int64_t> {
  static std::string name() { return "int"; }
  static Value get(int64_t value) { return value; }
  static bool set(const Value& plain, int64_t& out) {
    if (plain.is_int()) out = plain.as_int();
    return plain.is_int();
  }
};

template <>
struct Codec<double> {
  static std::string name() { return "float"; }
  static Value get(double value) { return value; }
  static bool set(const Value& plain, double& out) {
    if (plain.is_int() || plain.is_double()) out = plain.as_double();
    return plain.is_int() || plain.is_double();
  }
};

template <>
struct Codec<std::string> {
  static std::string name() { return "str"; }
  static Value get(const std::string& value) { return value; }
  static bool set(const Value& plain, std::string& out) {
    if (plain.is_string()) out = plain.as_string();
    return plain.is_string();
  }
};

template <class T>
struct Codec<std::optional<T>> {
  static std::string name() { return Codec<T>::name() + " or null"; }
  static Value get(const std::optional<T>& value) {
    return value ? Codec<T>::get(*value) : Value();
  }
  static bool set(const Value& plain, std::optional<T>& out) {
    if (plain.is_null()) {
      out.reset();
      return true;
    }
    T value{};
    if (!Codec<T>::set(plain, value)) return false;
    out = std::move(value);
    return true;
  }
};

template <class T>
struct Codec<std::vector<T>> {
  static std::string name() { return "list of " + Codec<T>::name(); }
  static Value get(const std::vector<T>& list) {
    Value::Array array;
    for (const auto& item : list) array.push_back(Codec<T>::get(item));
    return array;
  }
  static bool set(const Value& plain, std::vector<T>& out) {
    if (!plain.is_array()) return false;
    std::vector<T> list;
    for (const auto& item : plain.as_array()) {
      T value{};
      if (!Codec<T>::set(item, value)) return false;
      list.push_back(std::move(value));
    }
    out = std::move(list);
    return true;
  }
};

template <>
struct Codec<CountOrFraction> {
  static std::string name() { return "int or float"; }
  static Value get(const CountOrFraction& value) {
    return value.is_count() ? Value(value.count()) : Value(value.fraction());
  }
  static bool set(const Value& plain, CountOrFraction& out) {
    if (plain.is_int()) {
      out = plain.as_int();
    } else if (plain.is_double()) {
      out = plain.as_double();
    }
    return plain.is_int() || plain.is_double();
  }
};

template <>
struct Codec<CountFractionOrTime> {
  static std::string name() { return "int, float or str"; }
  static Value get(const CountFractionOrTime& field) {
    return std::visit([](const auto& value) { return Value(value); }, field.value);
  }
  static bool set(const Value& plain, CountFractionOrTime& out) {
    if (plain.is_int()) {
      out = plain.as_int();
    } else if (plain.is_double()) {
      out = plain.as_double();
    } else if (plain.is_string()) {
      out = plain.as_string();
    }
    return plain.is_int() || plain.is_double() || plain.is_string();
  }
};

template <>
struct Codec<CountOrName> {
  static std::string name() { return "int or str"; }
  static Value get(const CountOrName& field) {
    if (const auto* count = std::get_if<int64_t>(&field.value)) return *count;
    return std::get<std::string>(field.value);
  }
  static bool set(const Value& plain, CountOrName& out) {
    if (plain.is_int()) {
      out = plain.as_int();
    } else if (plain.is_string()) {
      out = plain.as_string();
    } else if (plain.is_array()) {  // devices: [0, 1]
      std::string list;
      for (const auto& item : plain.as_array()) {
        if (!item.is_int()) return false;
        list += std::to_string(item.as_int()) + ",";  // "1," means device 1, but "1" one device
      }
      if (list.empty()) return false;
      if (plain.as_array().size() > 1) list.pop_back();
      out = list;
    } else {
      return false;
    }
    return true;
  }
};

template <>
struct Codec<NumbersOrName> {
  static std::string name() { return "list of float, or str"; }
  static Value get(const NumbersOrName& field) {
    return field.is_name() ? Value(field.name()) : Codec<std::vector<double>>::get(field.numbers());
  }
  static bool set(const Value& plain, NumbersOrName& out) {
    if (plain.is_string()) {
      out = plain.as_string();
      return true;
    }
    std::vector<double> numbers;
    if (!Codec<std::vector<double>>::set(plain, numbers)) return false;
    out = std::move(numbers);
    return true;
  }
};

template <>
struct Codec<SwitchOrCount> {
  static std::string name() { return "bool or int"; }
  static Value get(const SwitchOrCount& value) {
    return value.count <= 1 ? Value(value.count == 1) : Value(value.count);
  }
  static bool set(const Value& plain, SwitchOrCount& out) {
    if (plain.is_bool()) {
      out = plain.as_bool();
    } else if (plain.is_int()) {
      out = plain.as_int();
    }
    return plain.is_bool() || plain.is_int();
  }
};

template <>
struct Codec<SwitchOrName> {
  static std::string name() { return "bool or str"; }
  static Value get(const SwitchOrName& field) {
    return field.name().empty() ? Value(field.is_on()) : Value(field.name());
  }
  static bool set(const Value& plain, SwitchOrName& out) {
    if (plain.is_bool()) {
      out = plain.as_bool();
    } else if (plain.is_string()) {
      out = plain.as_string();
    }
    return plain.is_bool() || plain.is_string();
  }
};

template <>
struct Codec<NamedSettings> {
  static std::string name() { return "name or {name: ...}"; }
  static Value get(const NamedSettings& field) {
    if (field.settings.as_object().empty()) return field.name;
    Value plain = field.settings;
    plain["name"] = field.name;
    return plain;
  }
  static bool set(const Value& plain, NamedSettings& out) {
    if (plain.is_string()) {
      out = plain.as_string();
      return true;
    }
    if (!plain.is_object()) return false;
    const char* const name_key = plain.contains("class_path") ? "class_path" : "name";
    if (!plain.contains(name_key) || !plain.at(name_key).is_string()) return false;
    out = plain.at(name_key).as_string();
    for (const auto& [key, value] : plain.as_object()) {
      if (key == name_key) continue;
      if (key != "init_args" || !plain.contains("class_path")) {
        out.settings[key] = value;
      } else if (value.is_object()) {
        for (const auto& [setting, given] : value.as_object()) out.settings[setting] = given;
      } else if (!value.is_null()) {
        return false;
      }
    }
    return true;
  }
};

template <class Pointer>
using Pointee = std::remove_pointer_t<std::decay_t<Pointer>>;

}  // namespace

Value Field::get() const {
  return std::visit([](auto* field) { return Codec<Pointee<decltype(field)>>::get(*field); },
                    value);
}

void Field::set(const Value& plain) const {
  const bool taken = std::visit(
      [&](auto* field) { return Codec<Pointee<decltype(field)>>::set(plain, *field); }, value);
  if (!taken) {
    throw ConfigError::invalid_value(name, plain.to_json(), "expected " + type_name());
  }
}

std::string Field::type_name() const {
  return std::visit([](auto* field) { return Codec<Pointee<decltype(field)>>::name(); }, value);
}

Value to_value(const Fields& fields) {
  Value::Object object;
  for (const auto& field : fields) object.emplace(field.name, field.get());
  return object;
}

void from_value(const Fields& fields, const Value& object, std::string_view where) {
  const std::string prefix = where.empty() ? std::string() : fmt::format("{}: ", where);
  if (!object.is_object()) {
    throw ConfigError(
        fmt::format("{}expected settings by name, found {}", prefix, shortened(object.to_json())));
  }
  std::vector<std::string> names;
  for (const auto& field : fields) names.push_back(field.name);
  for (const auto& [name, plain] : object.as_object()) {
    const Field* found = nullptr;
    for (const auto& field : fields) {
      if (field.name == name) found = &field;
    }
    if (found == nullptr) throw ConfigError::unknown_name("key", name, names, where);
    try {
      found->set(plain);
    } catch (const ConfigError& error) {
      throw ConfigError(prefix + error.what());
    }
  }
}

}  // namespace levin
