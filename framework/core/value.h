#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace levin {

/// A plain value: null, bool, int (64 bits), float (a double), text, list or object. Configurations
/// and the part of a state that isn't tensors (see StateDict) are trees of these. A list or an
/// object owns its members; copying a value copies the whole tree.
///
///     levin::Value state;
///     state["epoch"] = 3;
///     state["rates"] = levin::Value::Array{0.1, 0.01};
///     const int64_t epoch = state.at("epoch").as_int();
///
/// Written as JSON and read again, a value has the same bits. That includes NaNs, infinities and
/// text that isn't UTF-8, which JSON itself has no way to write.
class Value {
 public:
  /// A list keeps its order. An object's members are sorted by name.
  using Array = std::vector<Value>;
  using Object = std::map<std::string, Value, std::less<>>;

  /// Null. (These functions are out of line because the code of a variant's copies is long.)
  Value();
  Value(const Value& other);
  Value(Value&& other) noexcept;
  Value& operator=(const Value& other);
  Value& operator=(Value&& other) noexcept;
  ~Value();

  /// A value of the type of the argument. The conversions are implicit, so that a tree can be
  /// written as nested lists: Value::Object{{"epoch", 3}, {"names", Value::Array{"a", "b"}}}.
  Value(std::nullptr_t) {}                                      // NOLINT
  Value(bool value) : data_(value) {}                           // NOLINT
  Value(int value) : data_(static_cast<int64_t>(value)) {}      // NOLINT
  Value(int64_t value) : data_(value) {}                        // NOLINT
  Value(double value) : data_(value) {}                         // NOLINT
  Value(const char* value) : data_(std::string(value)) {}       // NOLINT
  Value(std::string value) : data_(std::move(value)) {}         // NOLINT
  Value(std::string_view value) : data_(std::string(value)) {}  // NOLINT
  Value(Array value) : data_(std::move(value)) {}               // NOLINT
  Value(Object value) : data_(std::move(value)) {}              // NOLINT

  /// Whether the value is of that type. `is_double` is false for an int.
  bool is_null() const { return std::holds_alternative<std::monostate>(data_); }
  bool is_bool() const { return std::holds_alternative<bool>(data_); }
  bool is_int() const { return std::holds_alternative<int64_t>(data_); }
  bool is_double() const { return std::holds_alternative<double>(data_); }
  bool is_string() const { return std::holds_alternative<std::string>(data_); }
  bool is_array() const { return std::holds_alternative<Array>(data_); }
  bool is_object() const { return std::holds_alternative<Object>(data_); }

  /// The value as that type. Nothing is converted: throws CheckpointError, saying what was expected
  /// and found, if the value is of another type, except that as_double also accepts an int. A
  /// reference is valid as long as the value exists and isn't assigned to.
  bool as_bool() const;
  int64_t as_int() const;
  double as_double() const;
  const std::string& as_string() const&;
  const Array& as_array() const&;
  Array& as_array() &;
  const Object& as_object() const&;
  Object& as_object() &;
  /// The member of that name. Throws CheckpointError if this isn't an object or has no such member.
  const Value& at(std::string_view name) const&;
  /// The same functions for a temporary. They return by value, so that it is safe to write
  /// `for (auto& x : Value::from_json(text).as_array())`.
  std::string as_string() && { return std::move(const_cast<std::string&>(as_string())); }
  Array as_array() && { return std::move(as_array()); }
  Object as_object() && { return std::move(as_object()); }
  Value at(std::string_view name) && { return std::move(const_cast<Value&>(at(name))); }

  /// The member of that name, which is added (as null) if there is none. A null value becomes an
  /// object first, so that a tree can be built by assignments: state["a"]["b"] = 1. The reference
  /// is valid as long as the object has the member. Throws CheckpointError if this is neither null
  /// nor an object.
  Value& operator[](std::string_view name);
  /// Whether this is an object that has a member of that name. False, and no error, for a value of
  /// another type.
  bool contains(std::string_view name) const;

  /// Whether type and contents are the same, for lists and objects of all members. An int never
  /// equals a float (3 and 3.0 differ), and NaN never equals NaN.
  bool operator==(const Value& other) const { return data_ == other.data_; }

  /// The value as JSON text: on one line, or on several if `indent`, the number of spaces of each
  /// level, is above 0. What JSON has no way to write becomes an object with one member:
  /// {"$float": "nan"} for infinities and NaNs, {"$bytes": "ff00"} for text that isn't UTF-8, in
  /// hexadecimal, and {"$pairs": [[name, value], ...]} for an object that has such a text as a
  /// name, or has a single member whose name starts with "$".
  std::string to_json(int indent = 0) const;
  /// Returns the value that JSON text stands for, whether `to_json` or another program wrote it.
  /// Whole numbers beyond int64 become floats. Throws CheckpointError, with the position of the
  /// mistake, if the text isn't JSON, and also if it is nested more than 500 levels deep.
  static Value from_json(std::string_view text);
  /// The value as YAML text in block style, ending in a line feed: what hparams.yaml and
  /// config.yaml are made of. Reading it gives back the same value; see value_yaml.h.
  std::string to_yaml() const;

 private:
  std::variant<std::monostate, bool, int64_t, double, std::string, Array, Object> data_;
};

}  // namespace levin
