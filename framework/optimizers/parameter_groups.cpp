#include <levin/framework/optimizers/parameter_groups.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/framework/core/error.h>
#include <levin/framework/optimizers/checks.h>

namespace levin {
namespace {

/// Whether the pattern, with `*` for any text and `?` for any character, matches the whole name.
bool matches(std::string_view pattern, std::string_view name) {
  size_t p = 0;
  size_t n = 0;
  size_t star = std::string_view::npos;  // the last `*` of the pattern before p
  size_t after_star = 0;                 // where the text that it stands for ends so far
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      after_star = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++after_star;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

bool chooses(const ParameterRule& rule, const std::string& name, const torch::Tensor& parameter) {
  return std::any_of(rule.names.begin(), rule.names.end(),
                     [&](const std::string& pattern) { return matches(pattern, name); }) ||
         (rule.where && rule.where(name, parameter));
}

[[noreturn]] void refuse_empty(const ParameterRule& rule, const NamedTensors& parameters) {
  std::vector<std::string> names;
  for (const auto& [name, parameter] : parameters) names.push_back(name);
  if (rule.names.empty()) {
    throw ConfigError::conflict("a parameter group is empty: its function chooses no parameter",
                                "leave out the group, or choose other parameters");
  }
  throw ConfigError::invalid_value(
      "names", fmt::format("[{}]", fmt::join(rule.names, ", ")),
      fmt::format("no parameter is left that has such a name; the parameters are: {}",
                  fmt::join(names, ", ")));
}

}  // namespace

Fields describe(ParameterRule& o) {
  return {{"names", &o.names, "patterns of parameters' names, such as \"*.bias\""},
          {"learning_rate", &o.learning_rate, "of these parameters; null: the optimizer's"},
          {"weight_decay", &o.weight_decay, "of these parameters; null: the optimizer's"}};
}

void validate(const ParameterRule& rule) {
  if (rule.names.empty() && !rule.where) {
    throw ConfigError::invalid_value("names", "[]", "must be given, patterns of parameters' names");
  }
  if (rule.learning_rate) check_at_least_zero("learning_rate", *rule.learning_rate);
  if (rule.weight_decay) check_at_least_zero("weight_decay", *rule.weight_decay);
}

std::vector<ParameterGroup> group_parameters(const NamedTensors& named_parameters,
                                             const std::vector<ParameterRule>& rules) {
  std::vector<ParameterGroup> groups(rules.size() + 1);
  for (size_t i = 0; i < rules.size(); ++i) {
    validate(rules[i]);
    groups[i + 1].learning_rate = rules[i].learning_rate.value_or(ParameterGroup::kFromOptions);
    groups[i + 1].weight_decay = rules[i].weight_decay.value_or(ParameterGroup::kFromOptions);
  }
  for (const auto& [name, parameter] : named_parameters) {
    const auto found = std::find_if(rules.begin(), rules.end(),
                                    [&, &own = name, &p = parameter](const ParameterRule& rule) {
                                      return chooses(rule, own, p);
                                    });
    auto& group =
        found == rules.end() ? groups[0] : groups[static_cast<size_t>(found - rules.begin()) + 1];
    group.parameters.push_back(parameter);
    group.names.push_back(name);
  }
  for (size_t i = 0; i < rules.size(); ++i) {
    if (groups[i + 1].parameters.empty()) refuse_empty(rules[i], named_parameters);
  }
  if (groups[0].parameters.empty()) groups.erase(groups.begin());
  return groups;
}

std::vector<ParameterGroup> group_parameters(
    const torch::OrderedDict<std::string, torch::Tensor>& named_parameters,
    const std::vector<ParameterRule>& rules) {
  return group_parameters(to_named_tensors(named_parameters), rules);
}

NamedTensors to_named_tensors(const torch::OrderedDict<std::string, torch::Tensor>& dict) {
  NamedTensors list;
  for (const auto& item : dict) list.emplace_back(item.key(), item.value());
  return list;
}

void Optimizer::divide(const std::vector<ParameterRule>& rules) {
  if (rules.empty()) return;
  if (!is_divisible() || groups_.size() != 1) {
    throw ConfigError::conflict(
        groups_.size() == 1 ? fmt::format("{} has the same settings for all its parameters", name())
                            : "the optimizer's parameters are in groups already",
        "leave out the groups, or use SGD, Adam, AdamW, RMSprop or Adagrad");
  }
  const ParameterGroup whole = groups_[0];
  NamedTensors named;
  for (size_t i = 0; i < whole.parameters.size(); ++i) {
    named.emplace_back(whole.names[i], whole.parameters[i]);
  }
  auto groups = group_parameters(named, rules);
  for (auto& group : groups) {
    const bool has_rate = !std::isnan(group.learning_rate);
    if (!has_rate) group.learning_rate = whole.learning_rate;
    group.base_learning_rate = has_rate ? group.learning_rate : whole.base_learning_rate;
    if (std::isnan(group.weight_decay)) group.weight_decay = whole.weight_decay;
  }
  groups_ = std::move(groups);
}

}  // namespace levin
