#pragma once

#include <concepts>
#include <filesystem>
#include <memory>
#include <string_view>
#include <utility>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/config/registry.h>
#include <levin/framework/core/options.h>
#include <levin/framework/data/datamodule.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// Makes the data module that the module of a checkpoint was trained on: of the same class, with
/// the same settings, and with what it had learned from its training data (fitted_state), so that
/// all rows are read as in training. Lightning: LightningDataModule.load_from_checkpoint.
///
///     auto data = levin::load_datamodule(levin::shipped_classes(), "best.ckpt");
///     trainer.test(*model, *data, "best.ckpt");
///
/// It reads the files that its settings name; use the template below to name others. A class of
/// your own must be in `registry`, under its name without namespaces or what
/// `DataModule::class_name` returns.
///
/// Throws CheckpointError if the file can't be read or doesn't say what its data were; ConfigError
/// if the registry has no such class, and if the class refuses the settings, as one whose data were
/// given as tensors does. All name the file.
std::unique_ptr<DataModule> load_datamodule(const Registry& registry,
                                            const std::filesystem::path& path);

/// Sets the settings `fields` to those that `checkpoint` has of its data. Throws CheckpointError if
/// it has none, and ConfigError if they are those of another class; both call it `name`.
void take_data_settings(const Fields& fields, const StateDict& checkpoint, std::string_view name);

/// Hands what the data module of a checkpoint had learned to `data`.
void load_fitted_into(DataModule& data, const StateDict& checkpoint, std::string_view name);

/// The same for a data module of the class D, which is made from its options. `change` may change
/// the settings before it is made. Lightning: D.load_from_checkpoint(path, x="new.csv").
///
///     auto data = levin::load_datamodule<levin::ArrayDataModule>(
///         "best.ckpt", [](auto& options) { options.x = "new.csv"; });
template <std::derived_from<DataModule> D, class Change>
std::unique_ptr<D> load_datamodule(const std::filesystem::path& path, Change change) {
  const StateDict checkpoint = load_checkpoint(path);
  typename D::Options options;
  take_data_settings(describe(options), checkpoint, path.string());
  change(options);
  auto data = std::make_unique<D>(std::move(options));
  load_fitted_into(*data, checkpoint, path.string());
  return data;
}
template <std::derived_from<DataModule> D>
std::unique_ptr<D> load_datamodule(const std::filesystem::path& path) {
  return load_datamodule<D>(path, [](auto&) {});
}

}  // namespace levin
