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

}  // namespace levin
