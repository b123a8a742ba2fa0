#pragma once

#include <vector>

namespace levin {

/// Throws ConfigError unless the option `name`, a share of the L1 penalty, is from 0 to 1.
void check_l1_ratio(const char* name, double ratio);
/// Throws ConfigError unless all numbers of the list `name` are above 0 and finite.
void check_all_positive(const char* name, const std::vector<double>& values);

}  // namespace levin
