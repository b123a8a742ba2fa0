#include <levin/framework/logged/history.h>

#include <limits>
#include <set>

#include <levin/framework/core/error.h>

namespace levin {

std::vector<double> History::values(std::string_view metric) const {
  std::vector<double> result;
  for (const auto& epoch : epochs) {
    const auto found = epoch.metrics.find(metric);
    result.push_back(found == epoch.metrics.end() ? std::numeric_limits<double>::quiet_NaN()
                                                  : found->second);
  }
  return result;
}

double History::last(std::string_view metric) const {
  std::set<std::string> names;
  for (auto epoch = epochs.rbegin(); epoch != epochs.rend(); ++epoch) {
    if (const auto found = epoch->metrics.find(metric); found != epoch->metrics.end()) {
      return found->second;
    }
    for (const auto& [name, value] : epoch->metrics) names.insert(name);
  }
  throw ModuleError::metric_not_logged("History::last", metric, {names.begin(), names.end()});
}

StateDict History::state_dict() const {
  Value::Array list;
  for (const auto& epoch : epochs) {
    Value item;
    item["epoch"] = epoch.epoch;
    item["global_step"] = epoch.global_step;
    item["metrics"] = to_value(epoch.metrics);
    list.push_back(std::move(item));
  }
  StateDict state;
  state.values["epochs"] = std::move(list);
  return state;
}

void History::load_state_dict(const StateDict& state) {
  epochs.clear();
  for (const auto& item : state.values.at("epochs").as_array()) {
    epochs.push_back({.epoch = item.at("epoch").as_int(),
                      .global_step = item.at("global_step").as_int(),
                      .metrics = to_metrics(item.at("metrics"))});
  }
}

}  // namespace levin
