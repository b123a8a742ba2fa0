#include <levin/framework/config/load_datamodule.h>

#include <fmt/format.h>

#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/core/error.h>

namespace levin {
namespace {

/// The settings of a checkpoint's data.
const Value& settings_of_data(const StateDict& checkpoint, std::string_view name) {
  const auto& values = checkpoint.values;
  if (values.contains("hyper_parameters") && values.at("hyper_parameters").contains("data")) {
    return values.at("hyper_parameters").at("data");
  }
  throw CheckpointError::io("make the data module of", name,
                            "it doesn't say what its data were, because it isn't a checkpoint of a "
                            "fit; make the data module from its settings");
}

}  // namespace

std::unique_ptr<DataModule> load_datamodule(const Registry& registry,
                                            const std::filesystem::path& path) {
  const StateDict checkpoint = load_checkpoint(path);
  const Value& settings = settings_of_data(checkpoint, path.string());
  if (!checkpoint.values.contains("data_class")) {
    throw CheckpointError::io("make the data module of", path.string(),
                              "it doesn't say which class its data are of, because an older Levin "
                              "wrote it; name the class: load_datamodule<ArrayDataModule>(path)");
  }
  const auto& class_name = checkpoint.values.at("data_class").as_string();
  const auto* entry = registry.datamodules.find(class_name);
  if (entry == nullptr) {
    throw ConfigError::unknown_name("data module", class_name, registry.datamodules.names(),
                                    fmt::format("'{}'", path.string()));
  }
  try {
    auto data = entry->make(settings);
    load_fitted_into(*data, checkpoint, path.string());
    return data;
  } catch (const ConfigError& error) {
    throw ConfigError(fmt::format("'{}': {}", path.string(), error.what()));
  }
}

void take_data_settings(const Fields& fields, const StateDict& checkpoint, std::string_view name) {
  from_value(fields, settings_of_data(checkpoint, name), fmt::format("'{}'", name));
}

void load_fitted_into(DataModule& data, const StateDict& checkpoint, std::string_view name) {
  try {
    const StateDict state = fitted_state(checkpoint).clone();
    if (!state.empty()) data.load_fitted_state(state);
  } catch (const CheckpointError& error) {
    throw CheckpointError(fmt::format("'{}': {}", name, error.what()));
  }
}

}  // namespace levin
