#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

#include <levin/framework/config/registry.h>
#include <levin/framework/run/module.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// Makes the module that a checkpoint is of, with its weights, on the CPU and in evaluation mode.
/// No configuration is needed: the checkpoint names the class and its settings (see
/// framework/checkpoint/module_description.h). Lightning: LightningModule.load_from_checkpoint.
///
///     auto module = levin::load_module(levin::shipped_classes(), "best.ckpt");
///     auto outputs = module->predict(levin::Batch({{"input", x}}));  // x: [rows, ...]
///
/// A class of your own must be in `registry`, as for YAML:
///
///     auto registry = levin::shipped_classes();
///     registry.models.add<MyModel>("MyModel");
///
/// The class is found by its name alone, without namespaces. If the module's class and another one
/// of the registry have the same name, override `Module::class_name` in yours and register it under
/// that name.
///
/// Parameters and buffers get the floating-point type they were saved in.
///
/// Throws CheckpointError if the file can't be read, says nothing about its module or doesn't have
/// the module's settings, and if its weights don't fit the module; ConfigError if the registry has
/// no such class (naming the nearest), and if the class refuses the settings. All name the file.
std::unique_ptr<Module> load_module(const Registry& registry, const std::filesystem::path& path);

/// The same from a checkpoint that is loaded already; errors call it `name`.
std::unique_ptr<Module> load_module(const Registry& registry, const StateDict& checkpoint,
                                    std::string_view name);

/// Makes the same module, but with the weights that its constructor gives it, and in training mode.
/// Use it if the Trainer loads the weights, so that they are read only once:
///
///     auto module = levin::make_module(registry, levin::load_checkpoint_outline(path), path);
///     trainer.test(*module, data, path);
///
/// Throws what load_module throws, except that weights that don't fit aren't noticed.
std::unique_ptr<Module> make_module(const Registry& registry, const StateDict& outline,
                                    std::string_view name);

}  // namespace levin
