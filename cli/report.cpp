#include <levin/cli/report.h>

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace levin {

std::string metrics_table(const MetricMap& metrics) {
  size_t width = 0;
  for (const auto& [name, value] : metrics) width = std::max(width, name.size());
  std::string table;
  for (const auto& [name, value] : metrics) {
    table += fmt::format("  {:<{}}  {:.6g}\n", name, width, value);
  }
  return table;
}

std::string metrics_json(const MetricMap& metrics, Value more) {
  for (const auto& [name, value] : metrics) {
    more[name] = std::isfinite(value) ? Value(value) : Value();
  }
  return more.to_json();
}

}  // namespace levin
