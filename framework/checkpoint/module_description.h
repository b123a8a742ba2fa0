#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/core/value.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// The shape and type of a module's input.
struct InputDescription {
  /// The sizes of one row, without the number of rows: [1, 28, 28] for batches [batch, 1, 28, 28].
  std::vector<int64_t> shape{};
  /// "float32", "int64" ...: PyTorch's name of the type.
  std::string dtype{};
};

/// What a checkpoint says about the module whose weights it holds: which class it is of, with which
/// settings it was made, and which data it was trained on.
///
/// `load_module` (framework/config/load_module.h) makes the module again from it. In the file it is
/// the member "module" of the value tree, which is the JSON text "levin.values" in the metadata:
///
///     {"class_path": "MLP",
///      "init_args": {"in_features": 4, "num_classes": 3, "hidden_sizes": [16], ...},
///      "input": {"shape": [4], "dtype": "float32"},
///      "class_names": ["setosa", "versicolor", "virginica"]}
///
/// Python: `json.loads(safetensors.safe_open(path, "pt").metadata()["levin.values"])["module"]`.
struct ModuleDescription {
  /// `Module::class_name`: the name of the module's class in a registry.
  std::string class_path{};
  /// `Module::hyper_parameters`, an object; null if the module doesn't tell its settings.
  Value init_args{};
  /// What `Batch::input` held in the first training batch, as the module's steps got it. Nothing if
  /// the checkpoint was saved before the first batch.
  std::optional<InputDescription> input{};
  /// `DataModule::class_names`: what class 0, 1 ... are called; empty if the data have no names.
  std::vector<std::string> class_names{};
};

/// The description as the object shown above; members that aren't known are null or empty.
Value to_value(const ModuleDescription& description);

/// Whether `state` is a whole checkpoint of `Trainer::fit`, as load_checkpoint returns it, and not
/// the state of one object. The module's weights are then its `child("model")`.
bool is_whole_checkpoint(const StateDict& state);

/// Returns the module's weights from what load_checkpoint has read: `child("model")` of a fit's
/// checkpoint and of any other file whose tensors are all named `model.*`, or all of a file that
/// holds nothing but weights, such as `save_checkpoint(path, module.state_dict())` writes.
StateDict module_weights(const StateDict& loaded);

/// What `checkpoint` says about its module; nothing if it says nothing, as a file that another
/// program wrote. Throws CheckpointError if the description isn't of the form shown above.
std::optional<ModuleDescription> module_description(const StateDict& checkpoint);

/// The settings with which Lightning made the module of a checkpoint that it saved: what it calls
/// hyper_parameters, without objects of Python. Null for all other files.
Value foreign_settings(const StateDict& checkpoint);

/// What `checkpoint` says about the data that its module was trained on: the state that
/// `DataModule::fitted_state` returned, which is its child "fitted", with the names of the classes
/// as the value "class_names" if they have any. Empty if it says nothing. Throws CheckpointError if
/// the description of the module is damaged.
StateDict fitted_state(const StateDict& checkpoint);

/// Adds "class_names" to the values of a fitted state, unless it has them or there are no names.
StateDict with_class_names(StateDict fitted, const std::vector<std::string>& names);

/// The names of the classes in a fitted state; none if it doesn't know any. Throws CheckpointError
/// if they aren't a list of texts.
std::vector<std::string> class_names_in(const StateDict& fitted);

}  // namespace levin
