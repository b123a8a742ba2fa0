#include <levin/framework/run/has_layers.h>

#include <string>

#include <levin/framework/core/error.h>
#include <levin/framework/run/module.h>

namespace levin {

void HasLayers::set_pipeline(std::shared_ptr<Pipeline> pipeline) {
  is_spread_ = pipeline != nullptr;
  pipeline_ = pipeline;
}

std::shared_ptr<Pipeline> HasLayers::pipeline() const {
  if (!is_spread_) return nullptr;
  if (auto pipeline = pipeline_.lock()) return pipeline;
  const auto* module = dynamic_cast<const Module*>(this);
  throw ModuleError::contract(
      module != nullptr ? module->class_name() : std::string("a module"),
      "has only the layers of one rank, because a run in a pipeline has failed",
      "make the module anew, and load its weights from a checkpoint");
}

}  // namespace levin
