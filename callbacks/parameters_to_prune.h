#pragma once

#include <string>
#include <vector>

#include <levin/callbacks/pruning_choice.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

class Module;

/// Returns the parameters that ModelPruning prunes, by their names and in the module's order: those
/// called `names`, or if that is empty all that are named "weight" and have at least two
/// dimensions. Throws ConfigError if a name doesn't exist, if there is nothing to prune, and if a
/// parameter doesn't have the dimension of a structured choice.
NamedTensors parameters_to_prune(const Module& module, const std::vector<std::string>& names,
                                 const PruningChoice& choice);

}  // namespace levin
