#include <levin/callbacks/parameters_to_prune.h>

#include <algorithm>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/run/module.h>

namespace levin {

NamedTensors parameters_to_prune(const Module& module, const std::vector<std::string>& names,
                                 const PruningChoice& choice) {
  NamedTensors chosen;
  std::vector<std::string> all;
  for (const auto& item : module.named_parameters()) {
    const std::string& name = item.key();
    all.push_back(name);
    const bool is_weight = name == "weight" || name.ends_with(".weight");
    const bool is_chosen = names.empty()
                               ? is_weight && item.value().dim() >= 2
                               : std::find(names.begin(), names.end(), name) != names.end();
    if (!is_chosen) continue;
    if (choice.is_structured() && (choice.dim < 0 || choice.dim >= item.value().dim())) {
      throw ConfigError::invalid_value(
          "ModelPruning.pruning_dim", fmt::to_string(choice.dim),
          fmt::format("'{}' has {} dimensions", name, item.value().dim()));
    }
    chosen.emplace_back(name, item.value());
  }
  for (const auto& name : names) {
    if (std::find(all.begin(), all.end(), name) != all.end()) continue;
    throw ConfigError::unknown_name("parameter", name, all, "ModelPruning.parameters");
  }
  if (chosen.empty()) {
    throw ConfigError::conflict("ModelPruning with a module that has no weights of layers",
                                "name the parameters to prune, or leave out the callback");
  }
  return chosen;
}

}  // namespace levin
