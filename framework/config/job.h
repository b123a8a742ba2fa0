#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <levin/framework/config/link.h>
#include <levin/framework/config/merge.h>
#include <levin/framework/config/node.h>
#include <levin/framework/config/registry.h>
#include <levin/framework/config/settings.h>
#include <levin/framework/optimizers/parameter_groups.h>
#include <levin/framework/run/trainer_options.h>

namespace levin {

/// Settings that a configuration has filled in, of a class or of the Trainer.
struct Chosen {
  /// The class's name in the registry; empty for the Trainer.
  std::string name{};
  /// What error messages call it: "model", "trainer.callbacks[1]".
  std::string place{};
  /// The options struct that `fields` point into. Copies of this object share it.
  std::shared_ptr<void> options{};
  /// The descriptions of its settings, which also hold the chosen values.
  Fields fields{};
  /// The settings as they were written, for the places in error messages.
  ConfigNode settings{};
};

/// A class with its settings, from which objects can be made. `Args` are the types of whatever else
/// an object is made from: for an optimizer, its parameters.
template <class Base, class... Args>
struct ChosenClass : Chosen {
  /// Calls the constructor with the settings as they are now.
  std::function<std::unique_ptr<Base>(Args...)> maker{};

  /// Makes an object; each call makes another one. Throws what the constructor throws, a
  /// ConfigError with the setting's file and line added.
  std::unique_ptr<Base> make(Args... args) const {
    try {
      return maker(std::move(args)...);
    } catch (const ConfigError& error) {
      throw_at(error, settings, place);
    }
  }
};

/// A callback with its settings.
struct ChosenCallback : ChosenClass<Callback> {
  /// The hooks inside a step that its class overrides, for `Trainer::add`.
  HookSet hooks{};
};

/// A whole configuration, checked key by key and type by type: which objects to make, with which
/// settings. Nothing of a run has been made yet. Lightning: what LightningCLI parses.
///
///     const ConfigNode root = read_configuration({"digits.yaml"}, overrides);
///     const Job job = read_job(registry, root);
///     auto model = job.model->make();
///     Trainer trainer(*job.trainer);
struct Job {
  /// The seed of all random generators; nothing if they aren't to be seeded.
  std::optional<int64_t> seed = 0;
  /// The Trainer's options. `trainer_settings` has their descriptions and places.
  std::shared_ptr<TrainerOptions> trainer = std::make_shared<TrainerOptions>();
  Chosen trainer_settings{};
  /// The switches of default callbacks, such as `trainer.enable_checkpointing`, in the registry's
  /// order.
  std::vector<std::pair<DefaultCallback, std::shared_ptr<bool>>> switches{};
  /// The callbacks listed under `trainer.callbacks`.
  std::vector<ChosenCallback> callbacks{};
  /// The callbacks that the switches add.
  std::vector<ChosenCallback> default_callbacks{};
  /// The loggers, in the order in which they are added; none if `logger` is false.
  std::vector<ChosenClass<Logger>> loggers{};
  /// Whether `loggers` are the default ones (`logger: true`).
  bool default_loggers = true;
  /// The module and the data module; nothing if the configuration doesn't name one.
  std::optional<ChosenClass<Module>> model{};
  std::optional<ChosenClass<DataModule>> data{};
  /// The optimizer that is used instead of the one that the model configures, if it is given.
  std::optional<ChosenClass<Optimizer, std::vector<torch::Tensor>>> optimizer{};
  /// The parameters that have settings of their own (`optimizer.groups`).
  std::vector<ParameterRule> parameter_groups{};
  /// That optimizer's scheduler, and when it acts.
  std::optional<ChosenClass<Scheduler>> lr_scheduler{};
  ScheduleOptions schedule{};
  /// The checkpoint to read: a file, "last" or "best"; empty for none.
  std::string ckpt_path{};
  /// Warnings for the user, one for each class that was given settings which only another class of
  /// its kind has. They name the settings, which are ignored.
  std::vector<std::string> warnings{};
  /// The links whose targets have been set.
  std::vector<AppliedLink> links{};

  /// Makes the optimizer and the scheduler that `optimizer` and `lr_scheduler` ask for, for a
  /// module's parameters. `optimizer` must be given. Throws ConfigError for settings that they
  /// refuse, and for groups that no parameter belongs to.
  Optimizers make_optimizers(const NamedTensors& named_parameters) const;
};

/// Reads the files in their order and then the overrides; of a setting that is given several times,
/// the last value counts. All of them win over `base`, a configuration that was read before. Throws
/// ConfigError, with file and line, if a file can't be read or isn't YAML, and if an override leads
/// nowhere.
ConfigNode read_configuration(const std::vector<std::string>& files,
                              const std::vector<Override>& overrides, ConfigNode base = {});

/// The keys that a configuration may have at its root: "trainer", "model" and so on.
const std::vector<std::string>& configuration_parts();
/// Returns whether a configuration has this key under `trainer`: an option of the Trainer,
/// "callbacks", "logger", or a switch of a default callback of `registry`, such as
/// "enable_checkpointing".
bool is_trainer_key(const Registry& registry, std::string_view key);

/// Turns a configuration, as read_configuration returns it, into a job of classes from `registry`.
/// A setting that the class doesn't have, but another one of its kind has, is ignored with a
/// warning (Job::warnings), so that a class can be replaced in one line, wherever that line is.
/// `plugins` is left to the program, which has loaded them before. Checks all keys and types, the
/// Trainer's options, and the optimizer's and scheduler's settings,
/// for which it makes them once. Throws ConfigError with file, line and key. The job keeps what it
/// needs of the registry.
Job read_job(const Registry& registry, const ConfigNode& root);

/// Returns the job as YAML with every setting, also those at their defaults; reading the text gives
/// the same job. Targets of links are left out, because `links` sets them. With `comments`, each
/// setting's line ends with its help.
std::string to_yaml(const Job& job, const Registry& registry, bool comments);

}  // namespace levin
