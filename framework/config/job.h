#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <levin/framework/config/merge.h>
#include <levin/framework/config/node.h>
#include <levin/framework/config/registry.h>
#include <levin/framework/config/settings.h>
#include <levin/framework/run/trainer_options.h>

namespace levin {

/// A group of settings that a configuration has filled in.
struct Chosen {
  /// The class's name as registered; empty for the Trainer.
  std::string name{};
  /// "model", "trainer.callbacks[1]": names it in errors.
  std::string place{};
  /// Owns what `fields` point into.
  std::shared_ptr<void> options{};
  Fields fields{};
  /// Where the settings were written.
  ConfigNode settings{};
};

/// A class with its settings, ready to be made.
template <class Base, class... Args>
struct ChosenClass : Chosen {
  std::function<std::unique_ptr<Base>(Args...)> maker{};

  /// Makes the object. Throws what its constructor throws; ConfigErrors with file and line added.
  std::unique_ptr<Base> make(Args... args) const {
    try {
      auto made = maker(std::move(args)...);
      if constexpr (std::same_as<Base, Module>) made->set_registered(name, to_value(fields));
      return made;
    } catch (const ConfigError& error) {
      throw_at(error, settings, place);
    }
  }
};

/// A callback with its settings.
struct ChosenCallback : ChosenClass<Callback> {
  /// The hooks inside a step that its class overrides: what Trainer::add wants to know.
  HookSet hooks{};
};

/// A whole configuration, checked key by key and type by type: what to make, with which settings.
/// Lightning: what LightningCLI parses.
struct Job {
  /// Nothing: leave the generators alone.
  std::optional<int64_t> seed = 0;
  std::shared_ptr<TrainerOptions> trainer = std::make_shared<TrainerOptions>();
  Chosen trainer_settings{};
  /// `trainer.enable_checkpointing` and the like, in the registry's order.
  std::vector<std::pair<DefaultCallback, std::shared_ptr<bool>>> switches{};
  /// Those listed under `trainer.callbacks`.
  std::vector<ChosenCallback> callbacks{};
  /// Those the switches add.
  std::vector<ChosenCallback> default_callbacks{};
  std::vector<ChosenClass<Logger>> loggers{};
  /// Whether `loggers` are what `logger: true` means.
  bool default_loggers = true;
  std::optional<ChosenClass<Module>> model{};
  std::optional<ChosenClass<DataModule>> data{};
  /// Instead of what the model configures.
  std::optional<ChosenClass<Optimizer, std::vector<torch::Tensor>>> optimizer{};
  std::optional<ChosenClass<Scheduler>> lr_scheduler{};
  ScheduleOptions schedule{};
  std::string ckpt_path{};
  /// Remarks for the user: settings that were left out.
  std::vector<std::string> remarks{};

  /// What `optimizer` and `lr_scheduler` ask for, for these parameters. Throws ConfigError.
  Optimizers make_optimizers(std::vector<torch::Tensor> parameters) const;
};

/// Reads files in order (later ones win), then the overrides. Throws ConfigError.
ConfigNode read_configuration(const std::vector<std::string>& files,
                              const std::vector<Override>& overrides);

/// The keys a configuration may have: "trainer", "model" ...
const std::vector<std::string>& configuration_parts();

/// Checks a configuration (as read_configuration gives it) against the classes there are: keys,
/// types, and by an optimizer for a parameter of no consequence the optimizer's values. Throws
/// ConfigError naming file, line and key.
Job read_job(const Registry& registry, const ConfigNode& root);

/// The job as YAML with every setting: reading it gives the same job. With `comments`, each line
/// says what the setting is.
std::string to_yaml(const Job& job, const Registry& registry, bool comments);

}  // namespace levin
