#include <levin/framework/logged/missing_monitor.h>

#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/framework/core/error.h>

namespace levin {

std::string missing_monitor(std::string_view who, std::string_view monitor,
                            const MetricMap& logged) {
  if (logged.find(monitor) != logged.end()) return {};
  std::vector<std::string> names;
  for (const auto& [name, value] : logged) names.push_back(name);
  const std::string nearest = nearest_name(monitor, names);
  if (nearest.empty() && !monitor.starts_with("val")) return {};
  const std::string known = names.empty() ? std::string("it logs nothing")
                                          : fmt::format("it logs {}", fmt::join(names, ", "));
  const std::string hint =
      nearest.empty() ? std::string(".") : fmt::format("; did you mean '{}'?", nearest);
  return fmt::format(
      "{} watches '{}', but the validation before training didn't log it: {}{} Unless it is logged "
      "later, set monitor to the name of a metric that is logged",
      who, monitor, known, hint);
}

std::string unused_monitor(std::string_view who, std::string_view monitor) {
  return fmt::format(
      "{} watches '{}', of which it got no value in this fit, so it has done nothing; log the "
      "metric, or set monitor to one that is logged",
      who, monitor);
}

std::string monitor_fact(std::string_view who, std::string_view monitor) {
  return fmt::format("{} watches {}", who, monitor);
}

}  // namespace levin
