#pragma once

#include <cstdint>
#include <string_view>

/// Checks of options, shared by optimizers and schedulers: each throws ConfigError that names the
/// option, its value and what it must be.
namespace levin {

void check_option(bool valid, std::string_view option, double value, std::string_view requirement);
void check_option(bool valid, std::string_view option, int64_t value, std::string_view requirement);
/// Finite and at least 0.
void check_at_least_zero(std::string_view option, double value);
/// Above 0 and finite.
void check_above_zero(std::string_view option, double value);
/// At least 0 and below 1: a decay rate.
void check_decay(std::string_view option, double value);

}  // namespace levin
