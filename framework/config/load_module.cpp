#include <levin/framework/config/load_module.h>

#include <fmt/format.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/config/unknown_class.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>

namespace levin {
namespace {

constexpr const char* kByHand =
    "make the module yourself, and give it the weights by load_into(module, path)";

ModuleDescription required_description(const StateDict& checkpoint, std::string_view name) {
  try {
    if (auto description = module_description(checkpoint)) return *std::move(description);
  } catch (const CheckpointError& error) {
    throw CheckpointError::corrupt(
        name, fmt::format("what it says of its module is damaged: {}", error.what()));
  }
  throw CheckpointError::io(
      "make the module of", name,
      fmt::format("it doesn't say which class its module is of, because another program or an "
                  "older Levin wrote it; name the class (`model:` in a --config file, or --model "
                  "CLASS), or {}",
                  kByHand));
}

std::unique_ptr<Module> make_described(const Registry& registry,
                                       const ModuleDescription& description,
                                       std::string_view name) {
  const auto* entry = registry.models.find(description.class_path);
  if (entry == nullptr) {
    throw unknown_class(description.class_path, registry.models.names(), fmt::format("'{}'", name));
  }
  const auto draft = entry->draft();
  if (description.init_args.is_null() && !draft.fields.empty()) {
    throw CheckpointError::io(
        "make the module of", name,
        fmt::format("it doesn't say with which settings its {} was made; override "
                    "hyper_parameters() in that class and save again, or {}",
                    description.class_path, kByHand));
  }
  try {
    if (!description.init_args.is_null()) {
      from_value(draft.fields, description.init_args, entry->name);
    }
    return draft.make(registry.optimizers);
  } catch (const ConfigError& error) {
    throw ConfigError(fmt::format("'{}': {}", name, error.what()));
  }
}

/// Converts the module's floating-point tensors to the types of the saved ones. A class's settings
/// don't say, for example, that module.to(kDouble) was called before training. A tied tensor may
/// have been saved under any of the names that torch::nn::Module gives it.
void take_types(torch::nn::Module& module, const StateDict& weights) {
  const auto take = [&](const std::string& name, torch::Tensor own) {
    const auto saved = weights.tensors.find(name);
    if (saved == weights.tensors.end()) return;
    if (!own.is_floating_point() || !saved->second.is_floating_point()) return;
    own.set_data(own.detach().to(saved->second.scalar_type()));
  };
  for (const auto& item : module.named_parameters()) take(item.key(), item.value());
  for (const auto& item : module.named_buffers()) take(item.key(), item.value());
}

}  // namespace

std::unique_ptr<Module> make_module(const Registry& registry, const StateDict& outline,
                                    std::string_view name) {
  auto module = make_described(registry, required_description(outline, name), name);
  take_types(*module, outline.child("model"));
  return module;
}

std::unique_ptr<Module> load_module(const Registry& registry, const std::filesystem::path& path) {
  return load_module(registry, load_checkpoint(path), path.string());
}

std::unique_ptr<Module> load_module(const Registry& registry, const StateDict& checkpoint,
                                    std::string_view name) {
  auto module = make_module(registry, checkpoint, name);
  load_into(*module, checkpoint, name);
  return module;
}

void take_settings(const Fields& fields, const StateDict& checkpoint, std::string_view name) {
  if (is_whole_checkpoint(checkpoint)) {
    const auto description = required_description(checkpoint, name);
    if (description.init_args.is_object()) {
      from_value(fields, description.init_args, fmt::format("'{}'", name));
    }
    return;
  }
  const Value settings = foreign_settings(checkpoint);
  for (const auto& field : fields) {
    if (!settings.contains(field.name)) continue;
    try {
      field.set(settings.at(field.name));
    } catch (const ConfigError&) {  // it means something else by that name
    }
  }
}

void load_into(Module& module, const std::filesystem::path& path) {
  load_into(module, load_checkpoint(path), path.string());
}

void load_into(Module& module, const StateDict& checkpoint, std::string_view name) {
  std::string note;
  try {
    prepare_like_checkpoint(module, checkpoint);
    const StateDict weights = weights_for(module, checkpoint, &note);
    take_types(module, weights);
    module.load_state_dict(weights);
  } catch (const CheckpointError& error) {
    throw CheckpointError(fmt::format("'{}': {}", name, error.what()));
  }
  if (!note.empty()) diagnostics::print(fmt::format("warning: '{}': {}\n", name, note));
  module.set_data_state(fitted_state(checkpoint).clone());
  module.eval();
}

}  // namespace levin
