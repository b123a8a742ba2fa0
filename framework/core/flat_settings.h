#pragma once

#include <string>
#include <utility>
#include <vector>

#include <levin/framework/core/value.h>

namespace levin {

/// Returns the settings in a tree of objects as one list, in the order of their names. A setting
/// inside an object is named by its path, such as "model/hidden_size"; a list becomes its JSON.
std::vector<std::pair<std::string, Value>> flat_settings(const Value& settings);

}  // namespace levin
