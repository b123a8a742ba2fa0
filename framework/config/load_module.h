#pragma once

#include <concepts>
#include <filesystem>
#include <memory>
#include <string_view>
#include <utility>

#include <levin/framework/checkpoint/checkpoint.h>
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

/// Gives a module that is there already the weights of a file, and what its data had learned, and
/// puts it into evaluation mode. The file may be a checkpoint, a safetensors file, a state dict
/// that `torch.save` wrote, or a checkpoint of Lightning; a module of PyTorch may have called its
/// layers otherwise (`weights_for`). Sizes that the module wasn't told, it takes from the
/// checkpoint's settings. Its tensors get the floating-point types of the saved ones.
///
///     Net net;
///     levin::load_into(net, "lightning.ckpt");
///
/// Prints a warning if the file also has tensors of something else. Throws CheckpointError, which
/// names the file, if it can't be read, and, with all names and shapes, if its weights don't fit.
void load_into(Module& module, const std::filesystem::path& path);
/// The same from a file that is loaded already; errors call it `name`.
void load_into(Module& module, const StateDict& checkpoint, std::string_view name);

/// Sets the settings `fields` that `checkpoint` knows of its module, and leaves the others alone.
/// Of a checkpoint of Lightning, these are the hyper-parameters that have the name and the type of
/// a setting. Throws ConfigError if the settings of a checkpoint of Levin are those of another
/// class.
void take_settings(const Fields& fields, const StateDict& checkpoint, std::string_view name);

/// Makes a module of the class M, with the settings `options`, and gives it the weights of a file
/// as load_into does. Lightning: M.load_from_checkpoint(path, **options).
///
///     auto model = levin::load_module<levin::MLP>("net.pt", {.in_features = 4, .num_classes = 3});
template <std::derived_from<Module> M>
std::unique_ptr<M> load_module(const std::filesystem::path& path, typename M::Options options) {
  auto module = std::make_unique<M>(std::move(options));
  load_into(*module, path);
  return module;
}

/// The same with the settings that the file knows (take_settings), and otherwise the defaults: all
/// of them in a checkpoint of Levin, those with the same names in one of Lightning.
///
///     auto model = levin::load_module<levin::LogisticRegression>("lightning.ckpt");
template <std::derived_from<Module> M>
std::unique_ptr<M> load_module(const std::filesystem::path& path) {
  const StateDict checkpoint = load_checkpoint(path);
  typename M::Options options;
  take_settings(describe(options), checkpoint, path.string());
  auto module = std::make_unique<M>(std::move(options));
  load_into(*module, checkpoint, path.string());
  return module;
}

}  // namespace levin
