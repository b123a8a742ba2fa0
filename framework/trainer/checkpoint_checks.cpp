#include <levin/framework/trainer/checkpoint_checks.h>

#include <string>
#include <vector>

#include <fmt/format.h>

#include <levin/framework/checkpoint/module_description.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/value.h>

namespace levin {
namespace {

StateDict checked_fitted_state(const StateDict& checkpoint, std::string_view source) {
  try {
    return fitted_state(checkpoint);
  } catch (const CheckpointError& error) {
    throw CheckpointError(
        fmt::format("{}: what it says of its module is damaged: {}", source, error.what()));
  }
}

}  // namespace

void require_resumable(const StateDict& checkpoint, const std::filesystem::path& path) {
  if (checkpoint.has_child("loop")) return;
  throw CheckpointError::io(
      "resume training from", path.string(),
      "it holds weights only; give a checkpoint that was saved without weights_only");
}

void require_same_types(const Module& module, const StateDict& checkpoint,
                        const Precision& precision) {
  const StateDict weights = weights_for(module, checkpoint);
  for (const auto& [name, own] : module.state_dict().tensors) {
    const auto saved = weights.tensors.find(name);
    if (saved == weights.tensors.end() || !own.is_floating_point()) continue;
    const auto type = saved->second.scalar_type();
    if (type == own.scalar_type() || !at::isFloatingType(type)) continue;
    const auto then = checkpoint.values.contains("precision")
                          ? checkpoint.values.at("precision").as_string()
                          : std::string();
    throw CheckpointError(fmt::format(
        "its weights have another type than the module's: {} is {} there{}, and {} here, with "
        "precision = {}. {}",
        name, c10::toString(type), then.empty() ? then : fmt::format(" (precision = {})", then),
        c10::toString(own.scalar_type()), precision.name(),
        then.empty() || then == precision.name()
            ? "Convert the module by to() first, or choose another precision"
            : fmt::format("Set precision = {}", then)));
  }
}

StateDict take_over_fitted_state(const Module& module, DataModule& data,
                                 const StateDict* checkpoint, std::string_view source) {
  StateDict state =
      checkpoint != nullptr ? checked_fitted_state(*checkpoint, source) : module.data_state();
  try {
    if (!state.empty()) data.load_fitted_state(state);
    return state;
  } catch (const CheckpointError& error) {
    throw CheckpointError::mismatch(source, {error.what()}, "doesn't fit these data");
  } catch (const ConfigError& error) {
    throw ConfigError(fmt::format("{}: {}", source, error.what()));
  }
}

void note_fitted_state(Module& module, DataModule& data) {
  module.set_data_state(with_class_names(data.fitted_state().clone(), data.class_names()));
}

void require_same_classes(const StateDict& fitted, DataModule& data, std::string_view source) {
  const auto trained = class_names_in(fitted);
  if (trained.empty()) return;
  const auto given = data.class_names();
  if (given.empty() || given == trained) return;
  // As JSON, which has no control characters that could garble a terminal.
  const auto list = [](const std::vector<std::string>& names) {
    return shortened(Value(Value::Array(names.begin(), names.end())).to_json());
  };
  throw CheckpointError::mismatch(
      source,
      {fmt::format("the model was trained on the classes {}, in this order", list(trained)),
       fmt::format("the classes of the data are {}; give data of the same classes, or targets that "
                   "are the classes' numbers",
                   list(given))},
      "doesn't fit these data");
}

}  // namespace levin
