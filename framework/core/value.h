#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace levin {

/// A plain value: null, bool, int, float, text, list or object. The tree part of every state and
/// configuration. JSON gives back the same bits: of doubles, NaN and infinities too, and of text
/// that isn't UTF-8.
class Value {
 public:
  using Array = std::vector<Value>;
  using Object = std::map<std::string, Value, std::less<>>;

  // Out of line, which keeps what includes this small: a variant's copies are large when inlined.
  Value();
  Value(const Value& other);
  Value(Value&& other) noexcept;
  Value& operator=(const Value& other);
  Value& operator=(Value&& other) noexcept;
  ~Value();

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

  bool is_null() const { return std::holds_alternative<std::monostate>(data_); }
  bool is_bool() const { return std::holds_alternative<bool>(data_); }
  bool is_int() const { return std::holds_alternative<int64_t>(data_); }
  bool is_double() const { return std::holds_alternative<double>(data_); }
  bool is_string() const { return std::holds_alternative<std::string>(data_); }
  bool is_array() const { return std::holds_alternative<Array>(data_); }
  bool is_object() const { return std::holds_alternative<Object>(data_); }

  /// The value as that type. Throws CheckpointError where it is another one; as_double takes ints.
  bool as_bool() const;
  int64_t as_int() const;
  double as_double() const;
  const std::string& as_string() const&;
  const Array& as_array() const&;
  Array& as_array() &;
  const Object& as_object() const&;
  Object& as_object() &;
  /// The member of that name. Throws CheckpointError naming it where there is none.
  const Value& at(std::string_view name) const&;
  // Of a temporary they give values, so that `for (auto& x : from_json(text).as_array())` is safe.
  std::string as_string() && { return std::move(const_cast<std::string&>(as_string())); }
  Array as_array() && { return std::move(as_array()); }
  Object as_object() && { return std::move(as_object()); }
  Value at(std::string_view name) && { return std::move(const_cast<Value&>(at(name))); }

  /// The member of that name, made where there is none; null becomes an object.
  Value& operator[](std::string_view name);
  /// Whether this is an object with such a member.
  bool contains(std::string_view name) const;

  bool operator==(const Value& other) const { return data_ == other.data_; }

  /// JSON text on one line, or indented by `indent` spaces where that is above 0. What JSON lacks
  /// is written as {"$float": "nan"}, {"$bytes": "ff00"} or {"$pairs": [[name, value], ...]}.
  std::string to_json(int indent = 0) const;
  /// Reads JSON; whole numbers beyond int64 become floats. Throws CheckpointError with the position
  /// of the mistake, or where it is nested more than 500 deep.
  static Value from_json(std::string_view text);
  /// YAML text in block style, for hparams.yaml and config.yaml.
  std::string to_yaml() const;

 private:
  std::variant<std::monostate, bool, int64_t, double, std::string, Array, Object> data_;
};

}  // namespace levin
