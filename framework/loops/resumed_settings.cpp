#include <levin/framework/loops/resumed_settings.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace levin {

std::vector<std::string> changed_settings(std::string_view prefix, const Value& then,
                                          const Value& now) {
  std::vector<std::string> changes;
  if (!then.is_object() || !now.is_object()) return changes;
  const auto text = [](const Value& object, const std::string& name) {
    return object.contains(name) ? object.at(name).to_json() : std::string("not set");
  };
  Value::Object all = then.as_object();
  all.insert(now.as_object().begin(), now.as_object().end());
  for (const auto& [name, ignored] : all) {
    const std::string before = text(then, name);
    const std::string after = text(now, name);
    if (before != after)
      changes.push_back(fmt::format("{}{} = {} ({})", prefix, name, after, before));
  }
  return changes;
}

void warn_of_loose_loading(Run& run, std::string_view source,
                           const std::vector<std::string>& differences) {
  if (differences.empty()) return;
  run.warn(fmt::format(
      "{} doesn't fit the module exactly, which its strict_loading allows: {}. What is missing "
      "keeps the values that it had",
      source, fmt::join(differences, "; ")));
}

void load_keeping_rates(Optimizer& optimizer, const StateDict& state) {
  std::vector<std::pair<double, double>> rates;
  for (const auto& group : optimizer.groups()) {
    rates.emplace_back(group.learning_rate, group.base_learning_rate);
  }
  optimizer.load_state_dict(state);
  for (size_t i = 0; i < rates.size(); ++i) {
    optimizer.groups()[i].base_learning_rate = rates[i].second;
    optimizer.set_learning_rate(rates[i].first, i);
  }
}

ConfiguredRates::ConfiguredRates(const Optimizers& optimizers) {
  for (const auto& entry : optimizers.entries()) {
    for (const auto& group : entry.optimizer->groups()) rates_.push_back(group.base_learning_rate);
  }
}

Value ConfiguredRates::to_value() const {
  Value::Array rates;
  for (const double rate : rates_) rates.push_back(rate);
  return rates;
}

std::vector<std::string> ConfiguredRates::apply(Optimizers& optimizers, const Value& before) const {
  std::vector<std::string> changes;
  const bool is_known = before.is_array() && before.as_array().size() == rates_.size();
  size_t next = 0;
  for (auto& entry : optimizers.entries()) {
    Optimizer& optimizer = *entry.optimizer;
    for (size_t i = 0; i < optimizer.groups().size() && next < rates_.size(); ++i, ++next) {
      auto& group = optimizer.groups()[i];
      const double configured = rates_[next];
      const double saved =
          is_known ? before.as_array()[next].as_double() : group.base_learning_rate;
      if (configured == saved) continue;
      const auto changed = [&](double rate) {
        return saved > 0.0 ? rate / saved * configured : configured;
      };
      group.base_learning_rate = changed(group.base_learning_rate);
      optimizer.set_learning_rate(changed(group.learning_rate), i);
      const std::string where =
          optimizer.groups().size() == 1 ? std::string() : fmt::format(" of group {}", i);
      changes.push_back(fmt::format("learning_rate{} = {} ({})", where, configured, saved));
    }
  }
  return changes;
}

}  // namespace levin
