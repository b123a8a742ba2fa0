#include <levin/framework/solvers/penalty_checks.h>

#include <cmath>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {

void check_l1_ratio(const char* name, double ratio) {
  if (ratio >= 0.0 && ratio <= 1.0) return;
  throw ConfigError::invalid_value(name, fmt::format("{}", ratio), "must be from 0 to 1");
}

void check_all_positive(const char* name, const std::vector<double>& values) {
  for (const double value : values) {
    if (value > 0.0 && std::isfinite(value)) continue;
    throw ConfigError::invalid_value(name, fmt::format("{}", value),
                                     "each must be above 0 and finite");
  }
}

}  // namespace levin
