#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <levin/framework/core/value.h>

namespace levin {

// Settings are fields of plain structs, which users fill in with designated initialisers:
//
//     levin::EarlyStopping stop({.monitor = "val_loss", .patience = 3});
//
// A class that YAML and command lines can configure describes its struct once. Reading, `--help`,
// `--print-config`, checkpoints and error messages are derived from that description:
//
//     struct PatienceOptions {
//       std::optional<std::string> duration{};
//       std::string interval = "step";
//     };
//     levin::Fields describe(PatienceOptions& o) {
//       return levin::fields_of<PatienceOptions>({
//           {"duration", &o.duration, "DD:HH:MM:SS; null: no limit"},
//           {"interval", &o.interval, "when to read the clock: step or epoch"},
//       });
//     }
//
// The name of a setting is the name of its field. A field has one of the types of FieldPointer,
// of which the next four are Levin's own. The constructor of the class checks the values; here
// only names and types are checked.

/// A number of batches, or a share of them. An int is a count and a float is a fraction, as in
/// Lightning: `limit_train_batches = 1` is one batch, `limit_train_batches = 1.0` is all of them.
struct CountOrFraction {
  std::variant<int64_t, double> value = 1.0;

  /// 1.0, all of them.
  CountOrFraction() = default;
  CountOrFraction(int count) : value(static_cast<int64_t>(count)) {}  // NOLINT
  CountOrFraction(int64_t count) : value(count) {}                    // NOLINT
  CountOrFraction(double fraction) : value(fraction) {}               // NOLINT
  /// Whether it is a count; `count` and `fraction` throw std::bad_variant_access for the other
  /// kind.
  bool is_count() const { return std::holds_alternative<int64_t>(value); }
  int64_t count() const { return std::get<int64_t>(value); }
  double fraction() const { return std::get<double>(value); }
};

/// A count, a fraction or a time: `val_check_interval = 100`, `0.25`, or `"00:30:00"` for half an
/// hour, as DD:HH:MM:SS. In C++ and YAML, `10` is a count, `10.0` a fraction, and a text a time.
struct CountFractionOrTime {
  std::variant<int64_t, double, std::string> value = 1.0;

  /// 1.0, all of it.
  CountFractionOrTime() = default;
  CountFractionOrTime(int count) : value(static_cast<int64_t>(count)) {}       // NOLINT
  CountFractionOrTime(int64_t count) : value(count) {}                         // NOLINT
  CountFractionOrTime(double fraction) : value(fraction) {}                    // NOLINT
  CountFractionOrTime(const char* duration) : value(std::string(duration)) {}  // NOLINT
  CountFractionOrTime(std::string duration) : value(std::move(duration)) {}    // NOLINT
  /// Which of the three it is; `count`, `fraction` and `time` throw std::bad_variant_access for
  /// the others.
  bool is_count() const { return std::holds_alternative<int64_t>(value); }
  bool is_time() const { return std::holds_alternative<std::string>(value); }
  int64_t count() const { return std::get<int64_t>(value); }
  double fraction() const { return std::get<double>(value); }
  const std::string& time() const { return std::get<std::string>(value); }
};

/// A whole number or a word: `devices = 2` or `devices = "auto"`. YAML's `devices: [0, 1]` becomes
/// the word "0,1", and `devices: [1]` the word "1,".
struct CountOrName {
  std::variant<int64_t, std::string> value = std::string("auto");

  /// "auto".
  CountOrName() = default;
  CountOrName(int count) : value(static_cast<int64_t>(count)) {}  // NOLINT
  CountOrName(int64_t count) : value(count) {}                    // NOLINT
  CountOrName(const char* name) : value(std::string(name)) {}     // NOLINT
  CountOrName(std::string name) : value(std::move(name)) {}       // NOLINT
};

/// A list of numbers or a word: `class_weight = {1.0, 2.5}` or `class_weight = "balanced"`. An
/// empty list by default.
struct NumbersOrName {
  std::variant<std::vector<double>, std::string> value{};

  NumbersOrName() = default;
  NumbersOrName(std::initializer_list<double> numbers) : value(std::vector<double>(numbers)) {}
  NumbersOrName(std::vector<double> numbers) : value(std::move(numbers)) {}  // NOLINT
  NumbersOrName(const char* name) : value(std::string(name)) {}              // NOLINT
  NumbersOrName(std::string name) : value(std::move(name)) {}                // NOLINT
  bool is_name() const { return std::holds_alternative<std::string>(value); }
  /// The word, or "" if it is a list.
  std::string name() const { return is_name() ? std::get<std::string>(value) : std::string(); }
  /// The numbers; none if it is a word.
  std::vector<double> numbers() const {
    return is_name() ? std::vector<double>() : std::get<std::vector<double>>(value);
  }
};

/// A switch that may also be a count: `fast_dev_run = true` or `fast_dev_run = 5`. Off by default.
struct SwitchOrCount {
  /// 0 if it is off, 1 if it is on, else the count.
  int64_t count = 0;

  SwitchOrCount() = default;
  SwitchOrCount(bool on) : count(on ? 1 : 0) {}  // NOLINT
  SwitchOrCount(int n) : count(n) {}             // NOLINT
  SwitchOrCount(int64_t n) : count(n) {}         // NOLINT
};

/// A switch that may also be a word: `save_last = true` or `save_last = "link"`. Off by default.
struct SwitchOrName {
  std::variant<bool, std::string> value = false;

  SwitchOrName() = default;
  SwitchOrName(bool on) : value(on) {}                          // NOLINT
  SwitchOrName(const char* name) : value(std::string(name)) {}  // NOLINT
  SwitchOrName(std::string name) : value(std::move(name)) {}    // NOLINT
  /// Whether it is switched on; a word is, too.
  bool is_on() const { return !std::holds_alternative<bool>(value) || std::get<bool>(value); }
  /// The word, or "" if it is a switch.
  std::string name() const {
    return std::holds_alternative<bool>(value) ? std::string() : std::get<std::string>(value);
  }
};

/// A choice from a list of classes with settings of its own: in YAML a name, `f1`, or a name with
/// settings, `{name: fbeta, beta: 2}`. In C++ `"f1"`, or `{"fbeta", Value::Object{{"beta", 2.0}}}`.
struct NamedSettings {
  std::string name{};
  /// An object.
  Value settings = Value::Object{};

  NamedSettings() = default;
  NamedSettings(const char* class_name) : name(class_name) {}             // NOLINT
  NamedSettings(std::string class_name) : name(std::move(class_name)) {}  // NOLINT
  NamedSettings(std::string class_name, Value given)
      : name(std::move(class_name)), settings(std::move(given)) {}
};

/// Where a setting is stored, as a pointer to one of the types that a setting can have.
using FieldPointer =
    std::variant<bool*, int64_t*, double*, std::string*, std::optional<bool>*,
                 std::optional<int64_t>*, std::optional<double>*, std::optional<std::string>*,
                 std::vector<int64_t>*, std::vector<double>*, std::vector<std::string>*,
                 CountOrFraction*, CountFractionOrTime*, CountOrName*, NumbersOrName*,
                 SwitchOrCount*, SwitchOrName*, NamedSettings*, std::vector<NamedSettings>*>;

/// One setting of an options struct: its name, where it is stored, and one line of help. The line
/// is shown in `levin help` and as a comment by `--print-config`.
struct Field {
  /// The name in YAML, on command lines and in checkpoints.
  std::string name;
  /// Points into the options struct, which must outlive the field.
  FieldPointer value;
  std::string help;

  /// Returns what the field holds now, as a plain value; an empty optional gives null.
  Value get() const;
  /// Stores a plain value in the field. An int is also accepted for a float, a list of ints for a
  /// CountOrName, and null for an optional, which it empties. Throws ConfigError with the name, the
  /// value and the expected type if the value is of another type; the field then stays as it was.
  void set(const Value& plain) const;
  /// The type in the words of help texts and errors: "int", "float or null", "list of str".
  std::string type_name() const;
};

/// The settings of one options struct, in the order of its fields. The pointers lead into the
/// struct that was described, which must neither be moved nor destroyed while they are used. They
/// are no copy: `Field::set` changes the struct itself.
using Fields = std::vector<Field>;

/// Whether T is made from its own options struct, `T::Options`, alone or together with `Args`. A
/// class that has none, or that has only inherited the type from its base without a constructor
/// that takes it, is made without settings.
template <class T, class... Args>
concept MadeFromOptions = requires {
  typename T::Options;
}
&&(std::constructible_from<T, Args..., typename T::Options&> ||
   std::constructible_from<T, typename T::Options&, Args...> ||
   std::constructible_from<T, typename T::Options&>);

// Counts the fields of an aggregate: the largest number of initialisers that it accepts.
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

/// Returns the settings in `list` as Fields, for `describe(FooOptions&)` to return. Doesn't compile
/// if the list has more or fewer settings than Options has fields, so none can be forgotten.
template <class Options, size_t N>
Fields fields_of(Field (&&list)[N]) {
  static_assert(N == detail::field_count<Options>(), "describe() must list every field");
  return Fields(std::make_move_iterator(list), std::make_move_iterator(list + N));
}

/// Returns what the settings hold now as one object, by name: for hyper-parameters and checkpoints.
Value to_value(const Fields& fields);
/// Sets those settings that `object` has, and leaves the others alone. `where`, usually the name of
/// the class, is put before error messages. Throws ConfigError if `object` isn't an object, for a
/// key that is no setting (proposing the nearest one), and for a value of another type. Settings
/// that came before the wrong one keep their new values.
void from_value(const Fields& fields, const Value& object, std::string_view where);

}  // namespace levin
