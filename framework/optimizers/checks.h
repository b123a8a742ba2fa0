#pragma once

#include <cstdint>
#include <string_view>

/// Checks of option values, shared by optimizers and schedulers; your own may use them too. Each
/// throws a ConfigError that names the option, its value and what it must be: `eps = -1: must be at
/// least 0`. `option` is the field's name in its options struct.
namespace levin {

/// Throws unless `valid`; `requirement` is the end of the message, "must be at most 1".
void check_option(bool valid, std::string_view option, double value, std::string_view requirement);
void check_option(bool valid, std::string_view option, int64_t value, std::string_view requirement);
/// Throws unless the value is finite and at least 0.
void check_at_least_zero(std::string_view option, double value);
/// Throws unless the value is finite and above 0.
void check_above_zero(std::string_view option, double value);
/// Throws unless the value, which has to be given, is at least 1.
void check_at_least_one(std::string_view option, int64_t value);
/// Throws unless the value can be the decay rate of a running mean: at least 0 and below 1.
void check_decay(std::string_view option, double value);

}  // namespace levin
