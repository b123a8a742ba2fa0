#include <levin/framework/loops/resumed_settings.h>

#include <fmt/format.h>

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

ConfiguredRates::ConfiguredRates(const Optimizers& optimizers) {
  for (const auto& entry : optimizers.entries()) {
    for (const auto& group : entry.optimizer->groups()) rates_.push_back(group.base_learning_rate);
  }
}

std::vector<std::string> ConfiguredRates::apply(Optimizers& optimizers) const {
  std::vector<std::string> changes;
  size_t next = 0;
  for (auto& entry : optimizers.entries()) {
    Optimizer& optimizer = *entry.optimizer;
    for (size_t i = 0; i < optimizer.groups().size() && next < rates_.size(); ++i, ++next) {
      auto& group = optimizer.groups()[i];
      const double configured = rates_[next];
      const double saved = group.base_learning_rate;
      if (configured == saved) continue;
      const double rate = saved > 0.0 ? group.learning_rate / saved * configured : configured;
      group.base_learning_rate = configured;
      optimizer.set_learning_rate(rate, i);
      const std::string where =
          optimizer.groups().size() == 1 ? std::string() : fmt::format(" of group {}", i);
      changes.push_back(fmt::format("learning_rate{} = {} ({})", where, configured, saved));
    }
  }
  return changes;
}

}  // namespace levin
