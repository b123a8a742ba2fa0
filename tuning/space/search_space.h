#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/core/value.h>
#include <levin/tuning/space/distribution.h>

namespace levin {

/// The parameters of a trial in their internal form (see Distribution), by name.
using ParameterValues = std::map<std::string, double>;

/// A parameter is there only if another one, `parameter`, is there and has one of these values.
struct ParameterCondition {
  std::string parameter{};
  /// Internal values of that parameter, at least one.
  std::vector<double> values{};
};

/// A setting that a search varies.
struct SearchParameter {
  /// The dotted name of the setting: `model.learning_rate`.
  std::string name{};
  Distribution distribution;
  /// Nothing: the parameter is always there.
  std::optional<ParameterCondition> condition{};
  /// For choices, what the setting gets for each of them. It differs from the distribution's choice
  /// for a list or an object: that is written in the study as its JSON text.
  std::vector<Value> settings{};
};

/// What a search chooses from: ranges of settings, some of which depend on others. From YAML:
///
///     model.learning_rate: {low: 1.0e-4, high: 0.1, log: true}   # a float: a bound is one
///     model.hidden_sizes: [[16], [32], [64, 64]]                 # a list: choices
///     data.batch_size: {kind: int, low: 16, high: 256, step: 16}
///     optimizer.class_path: {choices: [sgd, adam]}
///     optimizer.init_args.momentum: {low: 0.0, high: 0.99, when: {optimizer.class_path: sgd}}
///
/// `kind` is float, int or categorical. If it is left out, choices make a categorical parameter,
/// and bounds that are all whole numbers an int. `when` names other parameters and a value, or a
/// list of values, that the parameter needs.
class SearchSpace {
 public:
  /// Says where a parameter's entry, or its key, stands, as messages begin with it: "space.yaml,
  /// line 3". The key is empty for the entry itself.
  using Place = std::function<std::string(std::string_view parameter, std::string_view key)>;

  SearchSpace() = default;
  /// Throws ConfigError if a name occurs twice, or a condition names a parameter that isn't there,
  /// a value that it can't have, or leads back to its own parameter. The parameters are put into an
  /// order in which each follows the one that it depends on.
  explicit SearchSpace(std::vector<SearchParameter> parameters, const Place& place = {});

  /// Reads the form above. Throws ConfigError, beginning with the place, for an entry that is
  /// neither a list nor an object, an unknown key or kind (proposing the nearest one), a bound that
  /// is missing or of the wrong type, and as the constructor and Distribution do.
  static SearchSpace from_value(const Value& value, const Place& place = {});

  const std::vector<SearchParameter>& parameters() const { return parameters_; }
  bool empty() const { return parameters_.empty(); }
  /// The parameter of that name, or nullptr.
  const SearchParameter* find(std::string_view name) const;
  /// Throws ConfigError if a parameter is none of these settings, proposing the nearest one.
  void check_names(const std::vector<std::string>& settings) const;

  /// Where a parameter's entry, or its key, stands, as messages begin with it: "space.yaml, line 3:
  /// "; empty if that isn't known.
  std::string place_of(std::string_view parameter, std::string_view key = {}) const;

  /// Whether the parameter is there in a trial in which the others have these values. Those that
  /// it depends on must have been decided.
  bool is_active(const SearchParameter& parameter, const ParameterValues& values) const;
  /// The values without those of parameters that aren't there.
  ParameterValues only_active(const ParameterValues& values) const;
  /// What each setting gets, by its dotted name.
  std::map<std::string, Value> settings(const ParameterValues& values) const;

 private:
  void check_condition(const SearchParameter& parameter) const;
  void put_in_order();

  std::vector<SearchParameter> parameters_;
  Place place_;
};

}  // namespace levin
