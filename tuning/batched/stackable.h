#pragma once

#include <string_view>
#include <vector>

#include <levin/framework/run/module.h>

namespace levin {

/// Whether models that are trained together may differ in this setting of a model: learning_rate,
/// l1_strength, l2_strength, C and l1_ratio.
bool may_models_differ_in(std::string_view setting);

/// Throws ConfigError, which says why, if the models can't be trained together: see StackedModels.
void require_stackable(const std::vector<const Module*>& models);

}  // namespace levin
