#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <levin/framework/core/value.h>

namespace levin {

/// Floats from `low` to `high`, both included, evenly distributed, or evenly in their logarithm.
/// With a `step`, only low, low + step, ... are meant. `log` and `step` exclude each other.
struct FloatDistribution {
  double low = 0.0;
  double high = 1.0;
  bool log = false;
  std::optional<double> step{};

  bool operator==(const FloatDistribution&) const = default;
};

/// The ints low, low + step, ... up to `high`. `log` needs a step of 1 and a low of at least 1.
struct IntDistribution {
  int64_t low = 0;
  int64_t high = 1;
  bool log = false;
  int64_t step = 1;

  bool operator==(const IntDistribution&) const = default;
};

/// One of these plain values: null, bool, int, float or text, at least one.
struct CategoricalDistribution {
  std::vector<Value> choices{};
};

/// The values that a parameter of a study can have, the same as one of Optuna's distributions, and
/// written in files as those are. A value has two forms: the external one, which the trial uses,
/// and the internal one, a double: a number itself, or the place of a choice, from 0.
///
///     const levin::Distribution rate = levin::FloatDistribution{1e-4, 1e-1, true};
///     rate.to_json();  // {"attributes":{"high":0.1,"log":true,...},"name":"FloatDistribution"}
class Distribution {
 public:
  /// Throws ConfigError if low is above high, a bound isn't finite, a step isn't above 0, a
  /// logarithm is asked for with a step or with values that aren't positive, or there are no
  /// choices. A `high` that no number of steps reaches becomes the last value below it.
  Distribution(FloatDistribution range);            // NOLINT
  Distribution(IntDistribution range);              // NOLINT
  Distribution(CategoricalDistribution selection);  // NOLINT

  /// Reads Optuna's JSON: {"name": "FloatDistribution", "attributes": {...}}, also with the names
  /// that Optuna had before version 3, or its short form {"type": "float", "low": 0.0, ...}. Throws
  /// DataError if it is none of these, and ConfigError as the constructors do.
  static Distribution from_json(std::string_view text);
  std::string to_json() const;

  bool is_float() const { return std::holds_alternative<FloatDistribution>(kind_); }
  bool is_int() const { return std::holds_alternative<IntDistribution>(kind_); }
  bool is_categorical() const { return std::holds_alternative<CategoricalDistribution>(kind_); }
  /// These throw std::bad_variant_access for another kind.
  const FloatDistribution& as_float() const { return std::get<FloatDistribution>(kind_); }
  const IntDistribution& as_int() const { return std::get<IntDistribution>(kind_); }
  const std::vector<Value>& choices() const {
    return std::get<CategoricalDistribution>(kind_).choices;
  }

  /// The bounds of a float or an int, as doubles; of choices 0 and their number less 1.
  double low() const;
  double high() const;
  /// Whether the values of a float or an int are even in their logarithm.
  bool is_log() const;
  /// The distance between values: 0 for a float without steps, 1 for choices.
  double step() const;
  /// The number of values; 0 if they are a range of floats.
  uint64_t size() const;
  /// Whether there is only one value.
  bool is_single() const;

  /// Whether an internal value belongs to the distribution.
  bool contains(double internal) const;
  /// The external form: a float, an int, or the choice at that place. Throws ConfigError for a
  /// choice that isn't there.
  Value to_external(double internal) const;
  /// The internal form; nothing if the value is of the wrong type or none of the choices. Whether a
  /// number is within the range isn't checked.
  std::optional<double> to_internal(const Value& external) const;
  /// The nearest value of the distribution to a number between its bounds or beyond them.
  double nearest(double internal) const;

  /// Whether a parameter may have this distribution in one trial and `other` in another one of the
  /// same study: both are of one kind, both logarithmic or none, and have the same choices.
  bool is_compatible(const Distribution& other) const;
  /// Choices are compared as Python does: 1, 1.0 and true are the same, and so are NaNs.
  bool operator==(const Distribution& other) const;

 private:
  std::variant<FloatDistribution, IntDistribution, CategoricalDistribution> kind_;
};

}  // namespace levin
