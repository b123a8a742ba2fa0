#include <levin/tuning/space/distribution.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/tuning/space/python_json.h>

namespace levin {
namespace {

/// The number without what binary fractions add to its decimal ones: 0.30000000000000004 -> 0.3.
double without_binary_rest(double number) {
  return std::strtod(fmt::format("{:.15g}", number).c_str(), nullptr);
}

/// The last of low, low + step, ... that isn't above high.
double last_step(double low, double high, double step) {
  const double steps = (high - low) / step;
  if (std::fabs(steps - std::round(steps)) < 1e-9 * std::max(1.0, steps)) return high;
  return without_binary_rest(low + std::floor(steps) * step);
}

/// The value of a bool, int or float as Python compares it; nothing for other types.
std::optional<double> as_python_number(const Value& value) {
  if (value.is_bool()) return value.as_bool() ? 1.0 : 0.0;
  if (value.is_int() || value.is_double()) return value.as_double();
  return std::nullopt;
}

bool same_choice(const Value& a, const Value& b) {
  if (a == b) return true;
  const auto x = as_python_number(a);
  const auto y = as_python_number(b);
  return x && y && (*x == *y || (std::isnan(*x) && std::isnan(*y)));
}

void check_bounds(double low, double high) {
  if (!std::isfinite(low) || !std::isfinite(high)) {
    throw ConfigError(fmt::format("the range is from {} to {}; both must be finite", low, high));
  }
  if (low > high) {
    throw ConfigError(fmt::format(
        "the range is empty: low = {} is above high = {}; exchange them, or widen the range", low,
        high));
  }
}

double number_attribute(const Value& attributes, std::string_view name) {
  if (!attributes.contains(name)) {
    throw DataError(fmt::format("a distribution has no attribute '{}'", name));
  }
  const auto number = as_python_number(attributes.at(name));
  if (!number) throw DataError(fmt::format("a distribution's {} is not a number", name));
  return *number;
}

double attribute_or(const Value& attributes, std::string_view name, double otherwise) {
  if (!attributes.contains(name) || attributes.at(name).is_null()) return otherwise;
  return number_attribute(attributes, name);
}

int64_t whole_attribute(const Value& attributes, std::string_view name) {
  if (attributes.contains(name) && attributes.at(name).is_int()) {
    return attributes.at(name).as_int();
  }
  const double number = std::trunc(number_attribute(attributes, name));
  if (!(std::fabs(number) < 9.2e18)) {
    throw DataError(
        fmt::format("a distribution's {} is {}; it must fit into 64 bits", name, number));
  }
  return static_cast<int64_t>(number);
}

Distribution float_from(const Value& attributes, bool log, double step) {
  FloatDistribution range{number_attribute(attributes, "low"), number_attribute(attributes, "high"),
                          log, std::nullopt};
  if (step != 0.0) range.step = step;
  return range;
}

Distribution int_from(const Value& attributes, bool log) {
  const bool has_step = attributes.contains("step") && !attributes.at("step").is_null();
  return IntDistribution{whole_attribute(attributes, "low"), whole_attribute(attributes, "high"),
                         log, has_step ? whole_attribute(attributes, "step") : 1};
}

Distribution categorical_from(const Value& attributes) {
  if (!attributes.contains("choices") || !attributes.at("choices").is_array()) {
    throw DataError("a categorical distribution has no list of choices");
  }
  return CategoricalDistribution{attributes.at("choices").as_array()};
}

Distribution named_distribution(const std::string& name, const Value& attributes) {
  const bool log = attribute_or(attributes, "log", 0.0) != 0.0;
  if (name == "FloatDistribution") {
    return float_from(attributes, log, attribute_or(attributes, "step", 0.0));
  }
  if (name == "IntDistribution") return int_from(attributes, log);
  if (name == "CategoricalDistribution") return categorical_from(attributes);
  if (name == "UniformDistribution") return float_from(attributes, false, 0.0);
  if (name == "LogUniformDistribution") return float_from(attributes, true, 0.0);
  if (name == "DiscreteUniformDistribution") {
    return float_from(attributes, false, number_attribute(attributes, "q"));
  }
  if (name == "IntUniformDistribution") return int_from(attributes, false);
  if (name == "IntLogUniformDistribution") {
    return IntDistribution{whole_attribute(attributes, "low"), whole_attribute(attributes, "high"),
                           true, 1};
  }
  throw DataError(fmt::format("unknown distribution '{}'", shortened(name, 60)));
}

}  // namespace

Distribution::Distribution(FloatDistribution range) : kind_(range) {
  check_bounds(range.low, range.high);
  if (range.log && range.step) {
    throw ConfigError("a float can't have both a step and log: true; leave one of them out");
  }
  if (range.log && range.low <= 0.0) {
    throw ConfigError(fmt::format("low = {}: must be above 0, because log is true", range.low));
  }
  if (range.step && !(*range.step > 0.0 && std::isfinite(*range.step))) {
    throw ConfigError(fmt::format("step = {}: must be above 0", *range.step));
  }
  if (range.step) range.high = last_step(range.low, range.high, *range.step);
  kind_ = range;
}

Distribution::Distribution(IntDistribution range) : kind_(range) {
  check_bounds(static_cast<double>(range.low), static_cast<double>(range.high));
  if (range.low > range.high) {  // they are the same as doubles
    throw ConfigError(fmt::format("low = {} is above high = {}", range.low, range.high));
  }
  if (range.step <= 0) throw ConfigError(fmt::format("step = {}: must be at least 1", range.step));
  if (range.log && range.step != 1) {
    throw ConfigError("an int can't have both a step and log: true; leave one of them out");
  }
  if (range.log && range.low < 1) {
    throw ConfigError(fmt::format("low = {}: must be at least 1, because log is true", range.low));
  }
  const uint64_t width = static_cast<uint64_t>(range.high) - static_cast<uint64_t>(range.low);
  const uint64_t rest = width % static_cast<uint64_t>(range.step);
  range.high -= static_cast<int64_t>(rest);
  kind_ = range;
}

Distribution::Distribution(CategoricalDistribution selection) : kind_(std::move(selection)) {
  if (choices().empty()) throw ConfigError("there are no choices; list at least one");
}

Distribution Distribution::from_json(std::string_view text) {
  const Value json = from_python_json(text);
  if (json.contains("name") && json.at("name").is_string() && json.contains("attributes")) {
    return named_distribution(json.at("name").as_string(), json.at("attributes"));
  }
  if (json.contains("type") && json.at("type").is_string()) {
    const std::string& type = json.at("type").as_string();
    if (type == "float") return named_distribution("FloatDistribution", json);
    if (type == "int") return named_distribution("IntDistribution", json);
    if (type == "categorical") return categorical_from(json);
  }
  throw DataError(fmt::format("not a distribution: {}", shortened(text, 100)));
}

std::string Distribution::to_json() const {
  Value attributes = Value::Object{};
  std::string name = "CategoricalDistribution";
  if (is_float()) {
    const FloatDistribution& range = as_float();
    name = "FloatDistribution";
    attributes = Value::Object{{"low", range.low},
                               {"high", range.high},
                               {"log", range.log},
                               {"step", range.step ? Value(*range.step) : Value()}};
  } else if (is_int()) {
    const IntDistribution& range = as_int();
    name = "IntDistribution";
    attributes = Value::Object{
        {"low", range.low}, {"high", range.high}, {"log", range.log}, {"step", range.step}};
  } else {
    attributes["choices"] = Value::Array(choices());
  }
  return to_python_json(Value::Object{{"name", name}, {"attributes", attributes}});
}

double Distribution::low() const {
  if (is_float()) return as_float().low;
  return is_int() ? static_cast<double>(as_int().low) : 0.0;
}

double Distribution::high() const {
  if (is_float()) return as_float().high;
  return is_int() ? static_cast<double>(as_int().high) : static_cast<double>(choices().size() - 1);
}

bool Distribution::is_log() const {
  if (is_float()) return as_float().log;
  return is_int() && as_int().log;
}

double Distribution::step() const {
  if (is_float()) return as_float().step.value_or(0.0);
  return is_int() ? static_cast<double>(as_int().step) : 1.0;
}

uint64_t Distribution::size() const {
  if (is_categorical()) return choices().size();
  if (is_int()) {
    const IntDistribution& range = as_int();
    const uint64_t width = static_cast<uint64_t>(range.high) - static_cast<uint64_t>(range.low);
    return width / static_cast<uint64_t>(range.step) + 1;
  }
  if (is_single()) return 1;
  return step() == 0.0 ? 0 : static_cast<uint64_t>(std::round((high() - low()) / step())) + 1;
}

bool Distribution::is_single() const { return low() == high() && (!is_int() || size() == 1); }

bool Distribution::contains(double internal) const {
  if (!(internal >= low() && internal <= high())) return false;
  if (is_float() && step() == 0.0) return true;
  const double steps = (internal - low()) / step();
  return std::fabs(steps - std::round(steps)) < (is_float() ? 1e-8 : 1e-15);
}

Value Distribution::to_external(double internal) const {
  if (is_float()) return internal;
  if (is_int()) return static_cast<int64_t>(internal);
  if (!(internal >= 0.0 && internal < static_cast<double>(choices().size()))) {
    throw ConfigError(
        fmt::format("choice number {} was asked for; there are {}", internal, choices().size()));
  }
  return choices()[static_cast<size_t>(internal)];
}

std::optional<double> Distribution::to_internal(const Value& external) const {
  if (!is_categorical()) {
    if (external.is_bool()) return std::nullopt;
    const auto number = as_python_number(external);
    return number && !std::isnan(*number) ? number : std::nullopt;
  }
  const auto place = [&](auto found) { return static_cast<double>(found - choices().begin()); };
  const auto exact = std::find(choices().begin(), choices().end(), external);
  if (exact != choices().end()) return place(exact);
  const auto found = std::find_if(choices().begin(), choices().end(), [&](const Value& choice) {
    return same_choice(choice, external);
  });
  return found == choices().end() ? std::nullopt : std::optional<double>(place(found));
}

double Distribution::nearest(double internal) const {
  double value = internal;
  if (step() != 0.0) value = low() + std::nearbyint((internal - low()) / step()) * step();
  return std::clamp(value, low(), high());
}

bool Distribution::is_compatible(const Distribution& other) const {
  if (kind_.index() != other.kind_.index() || is_log() != other.is_log()) return false;
  return !is_categorical() || *this == other;
}

bool Distribution::operator==(const Distribution& other) const {
  if (kind_.index() != other.kind_.index()) return false;
  if (is_float()) return as_float() == other.as_float();
  if (is_int()) return as_int() == other.as_int();
  return std::equal(choices().begin(), choices().end(), other.choices().begin(),
                    other.choices().end(), same_choice);
}

}  // namespace levin
