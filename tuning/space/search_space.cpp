#include <levin/tuning/space/search_space.h>

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/tuning/space/python_json.h>

namespace levin {
namespace {

/// An entry of the space while it is read: what it says, and where.
struct SpaceEntry {
  const std::string& name;
  const Value& value;
  const SearchSpace::Place& place;

  [[noreturn]] void fail(std::string_view key, std::string_view what) const {
    const std::string at = place ? place(name, key) + ": " : std::string();
    throw ConfigError(fmt::format("{}{}: {}", at, name, what));
  }
  bool has(std::string_view key) const { return value.contains(key) && !value.at(key).is_null(); }
};

void check_keys(const SpaceEntry& entry) {
  static const std::vector<std::string> known = {"kind", "low",     "high", "log",
                                                 "step", "choices", "when"};
  for (const auto& [key, ignored] : entry.value.as_object()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const std::string where = entry.place ? entry.place(entry.name, key) + ": " : std::string();
    throw ConfigError::unknown_name("key", key, known, where + entry.name);
  }
}

double float_bound(const SpaceEntry& entry, std::string_view key) {
  if (!entry.has(key)) entry.fail("", fmt::format("has no '{}'; a range needs low and high", key));
  const Value& bound = entry.value.at(key);
  if (!bound.is_int() && !bound.is_double()) {
    entry.fail(key, fmt::format("{} = {}: must be a number", key, to_python_json(bound)));
  }
  return bound.as_double();
}

int64_t int_bound(const SpaceEntry& entry, std::string_view key) {
  if (!entry.has(key)) entry.fail("", fmt::format("has no '{}'; a range needs low and high", key));
  const Value& bound = entry.value.at(key);
  if (!bound.is_int()) {
    entry.fail(key, fmt::format("{} = {}: must be a whole number, because the kind is int", key,
                                to_python_json(bound)));
  }
  return bound.as_int();
}

bool is_logarithmic(const SpaceEntry& entry) {
  if (!entry.has("log")) return false;
  if (!entry.value.at("log").is_bool()) entry.fail("log", "log must be true or false");
  return entry.value.at("log").as_bool();
}

std::string kind_of(const SpaceEntry& entry) {
  static const std::vector<std::string> known = {"float", "int", "categorical"};
  if (entry.has("kind")) {
    const Value& kind = entry.value.at("kind");
    if (!kind.is_string()) entry.fail("kind", "kind must be float, int or categorical");
    if (std::find(known.begin(), known.end(), kind.as_string()) == known.end()) {
      const std::string where = entry.place ? entry.place(entry.name, "kind") + ": " : "";
      throw ConfigError::unknown_name("kind", kind.as_string(), known, where + entry.name);
    }
    return kind.as_string();
  }
  if (entry.has("choices")) return "categorical";
  for (const char* key : {"low", "high", "step"}) {
    if (entry.has(key) && !entry.value.at(key).is_int()) return "float";
  }
  return "int";
}

/// Choices as Optuna can read and compare them: a list or an object is its JSON text.
Value plain_choice(const Value& choice) {
  if (!choice.is_array() && !choice.is_object()) return choice;
  return to_python_json(choice);
}

SearchParameter categorical_parameter(const SpaceEntry& entry, const Value& list) {
  if (!list.is_array()) entry.fail("choices", "choices must be a list");
  if (list.as_array().empty()) entry.fail("choices", "there are no choices; list at least one");
  CategoricalDistribution selection;
  for (const Value& choice : list.as_array()) {
    const Value plain = plain_choice(choice);
    if (std::find(selection.choices.begin(), selection.choices.end(), plain) !=
        selection.choices.end()) {
      entry.fail("choices", fmt::format("the choice {} occurs twice", to_python_json(choice)));
    }
    selection.choices.push_back(plain);
  }
  return {entry.name, std::move(selection), std::nullopt, list.as_array()};
}

template <class Range>
SearchParameter parameter_with(const SpaceEntry& entry, Range range) {
  try {
    return {entry.name, std::move(range), std::nullopt, {}};
  } catch (const ConfigError& error) {
    entry.fail("", error.what());
  }
}

SearchParameter range_parameter(const SpaceEntry& entry, const std::string& kind) {
  if (entry.has("choices")) {
    entry.fail("choices", fmt::format("a parameter of kind {} has bounds, not choices", kind));
  }
  const bool log = is_logarithmic(entry);
  if (kind == "int") {
    const int64_t step = entry.has("step") ? int_bound(entry, "step") : 1;
    const IntDistribution range{int_bound(entry, "low"), int_bound(entry, "high"), log, step};
    return parameter_with(entry, range);
  }
  FloatDistribution range{float_bound(entry, "low"), float_bound(entry, "high"), log, std::nullopt};
  if (entry.has("step")) range.step = float_bound(entry, "step");
  return parameter_with(entry, range);
}

SearchParameter parameter_from(const SpaceEntry& entry) {
  if (entry.value.is_array()) return categorical_parameter(entry, entry.value);
  if (!entry.value.is_object()) {
    entry.fail("", fmt::format("{}: must be a list of choices, or an object such as "
                               "{{low: 0.0, high: 1.0}}",
                               to_python_json(entry.value)));
  }
  check_keys(entry);
  const std::string kind = kind_of(entry);
  if (kind == "categorical") {
    for (const char* key : {"low", "high", "log", "step"}) {
      if (entry.has(key)) entry.fail(key, fmt::format("choices have no '{}'", key));
    }
    return categorical_parameter(entry, entry.has("choices") ? entry.value.at("choices") : Value());
  }
  return range_parameter(entry, kind);
}

ParameterCondition condition_from(const SpaceEntry& entry,
                                  const std::vector<SearchParameter>& parameters) {
  const Value& when = entry.value.at("when");
  if (!when.is_object() || when.as_object().size() != 1) {
    entry.fail("when", "when must name one parameter and its value, such as {optimizer: sgd}");
  }
  const auto& [name, given] = *when.as_object().begin();
  const auto parent = std::find_if(parameters.begin(), parameters.end(),
                                   [&, &wanted = name](const auto& p) { return p.name == wanted; });
  if (parent == parameters.end()) {
    std::vector<std::string> known;
    for (const auto& parameter : parameters) known.push_back(parameter.name);
    const std::string where = entry.place ? entry.place(entry.name, "when") + ": " : "";
    throw ConfigError::unknown_name("parameter", name, known, where + entry.name);
  }
  ParameterCondition condition{name, {}};
  for (const Value& value : given.is_array() ? given.as_array() : Value::Array{given}) {
    const auto internal = parent->distribution.to_internal(plain_choice(value));
    if (!internal) {
      entry.fail("when", fmt::format("{} never has the value {}; its values are {}", name,
                                     to_python_json(value), parent->distribution.to_json()));
    }
    condition.values.push_back(*internal);
  }
  return condition;
}

}  // namespace

SearchSpace::SearchSpace(std::vector<SearchParameter> parameters, const Place& place)
    : parameters_(std::move(parameters)), place_(place) {
  std::set<std::string> names;
  for (SearchParameter& parameter : parameters_) {
    if (!names.insert(parameter.name).second) {
      throw ConfigError(fmt::format("{}{}: the parameter occurs twice", place_of(parameter.name),
                                    parameter.name));
    }
    if (parameter.distribution.is_categorical() && parameter.settings.empty()) {
      parameter.settings = parameter.distribution.choices();
    }
  }
  for (const SearchParameter& parameter : parameters_) check_condition(parameter);
  put_in_order();
}

SearchSpace SearchSpace::from_value(const Value& value, const Place& place) {
  if (!value.is_object() || value.as_object().empty()) {
    throw ConfigError(
        fmt::format("{}the search space must name at least one setting, such as "
                    "'model.learning_rate: {{low: 0.001, high: 0.1, log: true}}'",
                    place ? place("", "") + ": " : std::string()));
  }
  std::vector<SearchParameter> parameters;
  for (const auto& [name, member] : value.as_object()) {
    const SpaceEntry entry{name, member, place};
    parameters.push_back(parameter_from(entry));
  }
  size_t at = 0;
  for (const auto& [name, member] : value.as_object()) {
    const SpaceEntry entry{name, member, place};
    if (member.is_object() && entry.has("when")) {
      parameters[at].condition = condition_from(entry, parameters);
    }
    ++at;
  }
  return SearchSpace(std::move(parameters), place);
}

std::string SearchSpace::place_of(std::string_view parameter, std::string_view key) const {
  return place_ ? place_(parameter, key) + ": " : std::string();
}

const SearchParameter* SearchSpace::find(std::string_view name) const {
  const auto found = std::find_if(parameters_.begin(), parameters_.end(),
                                  [&](const auto& parameter) { return parameter.name == name; });
  return found == parameters_.end() ? nullptr : &*found;
}

void SearchSpace::check_names(const std::vector<std::string>& settings) const {
  for (const SearchParameter& parameter : parameters_) {
    if (std::find(settings.begin(), settings.end(), parameter.name) != settings.end()) continue;
    std::string where = place_of(parameter.name);
    if (!where.empty()) where.resize(where.size() - 2);
    throw ConfigError::unknown_name("setting", parameter.name, settings, where);
  }
}

void SearchSpace::check_condition(const SearchParameter& parameter) const {
  if (!parameter.condition) return;
  const ParameterCondition& condition = *parameter.condition;
  const SearchParameter* parent = find(condition.parameter);
  const std::string begin = place_of(parameter.name, "when") + parameter.name;
  if (parent == nullptr) {
    throw ConfigError(fmt::format("{}: depends on {}, which isn't in the search space", begin,
                                  condition.parameter));
  }
  const bool possible =
      !condition.values.empty() &&
      std::all_of(condition.values.begin(), condition.values.end(),
                  [&](double value) { return parent->distribution.contains(value); });
  if (!possible) {
    throw ConfigError(fmt::format("{}: needs a value that {} never has; its values are {}", begin,
                                  condition.parameter, parent->distribution.to_json()));
  }
}

void SearchSpace::put_in_order() {
  std::vector<SearchParameter> ordered;
  std::set<std::string> done;
  while (!parameters_.empty()) {
    const auto ready = std::find_if(parameters_.begin(), parameters_.end(), [&](const auto& p) {
      return !p.condition || done.count(p.condition->parameter) > 0;
    });
    if (ready == parameters_.end()) {
      const std::string& name = parameters_.front().name;
      throw ConfigError(fmt::format("{}{}: its condition leads back to itself, by way of {}",
                                    place_of(name, "when"), name,
                                    parameters_.front().condition->parameter));
    }
    done.insert(ready->name);
    ordered.push_back(std::move(*ready));
    parameters_.erase(ready);
  }
  parameters_ = std::move(ordered);
}

bool SearchSpace::is_active(const SearchParameter& parameter, const ParameterValues& values) const {
  if (!parameter.condition) return true;
  const auto parent = values.find(parameter.condition->parameter);
  if (parent == values.end()) return false;
  const auto& wanted = parameter.condition->values;
  return std::find(wanted.begin(), wanted.end(), parent->second) != wanted.end();
}

ParameterValues SearchSpace::only_active(const ParameterValues& values) const {
  ParameterValues active;
  for (const SearchParameter& parameter : parameters_) {
    const auto value = values.find(parameter.name);
    if (value != values.end() && is_active(parameter, active)) active.insert(*value);
  }
  return active;
}

std::map<std::string, Value> SearchSpace::settings(const ParameterValues& values) const {
  std::map<std::string, Value> settings;
  for (const auto& [name, internal] : only_active(values)) {
    const SearchParameter& parameter = *find(name);
    if (parameter.distribution.is_categorical()) {
      parameter.distribution.to_external(internal);  // throws if there is no such choice
      settings[name] = parameter.settings[static_cast<size_t>(internal)];
    } else {
      settings[name] = parameter.distribution.to_external(internal);
    }
  }
  return settings;
}

}  // namespace levin
