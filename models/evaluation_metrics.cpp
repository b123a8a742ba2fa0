#include <levin/models/evaluation_metrics.h>

#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/metrics/metric_list.h>

namespace levin {
namespace {

/// Removes the setting of that name and returns its value; null if there is none.
Value take_setting(Value& settings, std::string_view name) {
  auto& members = settings.as_object();
  const auto found = members.find(name);
  if (found == members.end()) return {};
  Value value = std::move(found->second);
  members.erase(found);
  return value;
}

/// Names of metrics of one kind, for messages.
template <class Kind>
std::vector<std::string> names_of_kind(const MetricList& known) {
  std::vector<std::string> names;
  for (const auto& entry : known.entries()) {
    const auto metric = entry.make(Value());
    if (dynamic_cast<const Kind*>(metric.get()) != nullptr) names.push_back(entry.name);
  }
  return names;
}

bool has_single_number(const Metric& metric) {
  const Value settings = metric.settings();
  return !settings.contains("normalize") &&
         !(settings.contains("average") && settings.at("average") == Value("none"));
}

}  // namespace

template <class Kind>
EvaluationMetrics<Kind>::EvaluationMetrics(const std::vector<NamedSettings>& chosen,
                                           std::string_view kind) {
  if (chosen.empty()) return;
  const MetricList known = known_metrics();
  for (const auto& [name, given] : chosen) {
    const auto* const entry = known.find(name);
    if (entry == nullptr) {
      throw ConfigError::unknown_name("metrics", name, names_of_kind<Kind>(known));
    }
    Value settings = given;
    const Value as = take_setting(settings, "as");
    const Value weights = take_setting(settings, "weights");
    if ((!as.is_null() && !as.is_string()) || (!weights.is_null() && !weights.is_bool())) {
      throw ConfigError::invalid_value("metrics", given.to_json(),
                                       "`as` must be a name, and `weights` true or false");
    }
    auto made = entry->make(settings);
    auto* const metric = dynamic_cast<Kind*>(made.get());
    if (metric == nullptr) {
      throw ConfigError::unknown_name(fmt::format("metric of {}", kind), name,
                                      names_of_kind<Kind>(known));
    }
    const std::string logged = as.is_null() ? metric->name() : as.as_string();
    for (const auto& other : metrics_) {
      if (other.val_name != "val_" + logged) continue;
      throw ConfigError::conflict(fmt::format("metrics has two that are logged as {}", logged),
                                  "give one of them another name: {name: " + name + ", as: ...}");
    }
    const bool is_shown = has_single_number(*metric);
    made.release();
    metrics_.push_back({std::unique_ptr<Kind>(metric), "val_" + logged, "test_" + logged,
                        !weights.is_null() && weights.as_bool(), is_shown});
  }
}

template class EvaluationMetrics<ClassMetric>;
template class EvaluationMetrics<RegressionMetric>;

}  // namespace levin
