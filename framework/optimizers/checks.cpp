#include <levin/framework/optimizers/checks.h>

#include <cmath>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {

void check_option(bool valid, std::string_view option, double value, std::string_view requirement) {
  if (!valid) throw ConfigError::invalid_value(option, fmt::format("{}", value), requirement);
}

void check_option(bool valid, std::string_view option, int64_t value,
                  std::string_view requirement) {
  if (!valid) throw ConfigError::invalid_value(option, fmt::format("{}", value), requirement);
}

void check_at_least_zero(std::string_view option, double value) {
  check_option(std::isfinite(value) && value >= 0.0, option, value, "must be at least 0");
}

void check_above_zero(std::string_view option, double value) {
  check_option(std::isfinite(value) && value > 0.0, option, value, "must be above 0");
}

void check_at_least_one(std::string_view option, int64_t value) {
  check_option(value >= 1, option, value, "must be given, at least 1");
}

void check_decay(std::string_view option, double value) {
  check_option(value >= 0.0 && value < 1.0, option, value, "must be at least 0 and below 1");
}

}  // namespace levin
