#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <levin/framework/core/value.h>

namespace levin {

/// A number of batches, or a share of them: an int counts, a float is a fraction, as in Lightning
/// (`limit_train_batches = 1` is one batch, `1.0` is all).
struct CountOrFraction {
  std::variant<int64_t, double> value = 1.0;

  CountOrFraction() = default;
  CountOrFraction(int count) : value(static_cast<int64_t>(count)) {}  // NOLINT
  CountOrFraction(int64_t count) : value(count) {}                    // NOLINT
  CountOrFraction(double fraction) : value(fraction) {}               // NOLINT
  bool is_count() const { return std::holds_alternative<int64_t>(value); }
  int64_t count() const { return std::get<int64_t>(value); }
  double fraction() const { return std::get<double>(value); }
};

/// A whole number or a word: `devices = 2`, `devices = "auto"`.
struct CountOrName {
  std::variant<int64_t, std::string> value = std::string("auto");

  CountOrName() = default;
  CountOrName(int count) : value(static_cast<int64_t>(count)) {}  // NOLINT
  CountOrName(int64_t count) : value(count) {}                    // NOLINT
  CountOrName(const char* name) : value(std::string(name)) {}     // NOLINT
  CountOrName(std::string name) : value(std::move(name)) {}       // NOLINT
};

/// Off, on (1) or a count: `fast_dev_run = true`, `fast_dev_run = 5`.
struct SwitchOrCount {
  int64_t count = 0;

  SwitchOrCount() = default;
  SwitchOrCount(bool on) : count(on ? 1 : 0) {}  // NOLINT
  SwitchOrCount(int n) : count(n) {}             // NOLINT
  SwitchOrCount(int64_t n) : count(n) {}         // NOLINT
};

/// The closed set of types a setting can have; each knows how to read YAML and print itself.
using FieldPointer =
    std::variant<bool*, int64_t*, double*, std::string*, std::optional<bool>*,
                 std::optional<int64_t>*, std::optional<double>*, std::optional<std::string>*,
                 std::vector<int64_t>*, std::vector<double>*, std::vector<std::string>*,
                 CountOrFraction*, CountOrName*, SwitchOrCount*>;

/// One setting of an options struct: its name, where it lives, and one line of help.
struct Field {
  std::string name;
  FieldPointer value;
  std::string help;

  /// What the field holds now, as a plain value (for YAML, checkpoints and `--print-config`).
  Value get() const;
  /// Takes a plain value. Throws ConfigError naming the field where the type is wrong; a whole
  /// number is taken where a float is asked for, and null empties an optional.
  void set(const Value& plain) const;
  /// "int", "float or null", "list of str" ...: for help texts and errors.
  std::string type_name() const;
};

/// The settings of one options struct, in order; the pointers are into the struct described.
using Fields = std::vector<Field>;

namespace detail {
struct AnyField {
  template <class T>
  operator T() const noexcept;
};
template <class T, class I>
struct TakesFields;
template <class T, size_t... I>
struct TakesFields<T, std::index_sequence<I...>> {
  static constexpr bool value = requires { T{(void(I), AnyField{})...}; };
};
template <class T, size_t N = 0>
constexpr size_t field_count() {
  if constexpr (TakesFields<T, std::make_index_sequence<N + 1>>::value) {
    return field_count<T, N + 1>();
  } else {
    return N;
  }
}
}  // namespace detail

/// What a `describe(FooOptions&)` returns: refuses to compile where a field was left out.
///
///     Fields describe(TimerOptions& o) {
///       return fields_of<TimerOptions>({{"duration", &o.duration, "DD:HH:MM:SS"}, ...});
///     }
template <class Options, size_t N>
Fields fields_of(Field (&&list)[N]) {
  static_assert(N == detail::field_count<Options>(), "describe() must list every field");
  return Fields(std::make_move_iterator(list), std::make_move_iterator(list + N));
}

/// The settings as one object Value, for hyper-parameters and checkpoints.
Value to_value(const Fields& fields);
/// Sets the named settings from an object Value. Throws ConfigError for a wrong key (naming the
/// nearest) or type; `where` (a class name) is put before the message.
void from_value(const Fields& fields, const Value& object, std::string_view where);

}  // namespace levin
