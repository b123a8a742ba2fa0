#include <levin/framework/config/registry.h>

namespace levin {

ModelList::ModelDraft ModelList::registered(std::string name, ModelDraft draft) {
  draft.make = [name = std::move(name), fields = draft.fields,
                make = std::move(draft.make)](const OptimizerList& optimizers) {
    auto module = make(optimizers);
    module->set_registered(name, to_value(fields));
    return module;
  };
  return draft;
}

void DataModuleList::require_one(const std::vector<NamedSettings>& data) {
  if (data.size() == 1) return;
  throw ConfigError::invalid_value(
      "data", std::to_string(data.size()) + " data modules",
      "name the one that is wrapped, as data: [{name: CLASS, SETTING: VALUE}]");
}

}  // namespace levin
