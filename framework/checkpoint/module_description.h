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

/// What `checkpoint` says about its module; nothing if it says nothing, as a file that another
/// program wrote. Throws CheckpointError if the description isn't of the form shown above.
std::optional<ModuleDescription> module_description(const StateDict& checkpoint);

}  // namespace levin
