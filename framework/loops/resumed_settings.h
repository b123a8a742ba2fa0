#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/core/value.h>
#include <levin/framework/optimizers/optimizers.h>
#include <levin/framework/run/run.h>

// What a fit that resumes does if its settings aren't those of the checkpoint's run. The settings
// of this run count, apart from the seed, and a warning says so.

namespace levin {

/// Returns the settings in which `now` differs from `then`, each as "batch_size = 64 (32)". Both
/// are objects, as Module::hyper_parameters returns them; `prefix` is put before each name.
/// Settings that only one of them has count as well. Empty if either isn't an object.
std::vector<std::string> changed_settings(std::string_view prefix, const Value& then,
                                          const Value& now);

/// Warns that a checkpoint doesn't fit the module exactly, if `differences`, what
/// Module::load_state_dict returned, has any. `source` says what was loaded.
void warn_of_loose_loading(Run& run, std::string_view source,
                           const std::vector<std::string>& differences);

/// Loads a state into an optimizer, which keeps its learning rates.
void load_keeping_rates(Optimizer& optimizer, const StateDict& state);

/// The learning rates with which optimizers were made. Loading a checkpoint into an optimizer gives
/// it the rates of the checkpoint; `apply` then makes those count that this run configured, if they
/// aren't those that the checkpoint's run configured:
///
///     const ConfiguredRates configured(optimizers);            // before hooks may change them
///     checkpoint.values["configured_rates"] = configured.to_value();
///     ...
///     load_states(optimizers, checkpoint);
///     const auto changes = configured.apply(optimizers, checkpoint.values["configured_rates"]);
class ConfiguredRates {
 public:
  explicit ConfiguredRates(const Optimizers& optimizers);

  /// The rates as an array of numbers, group after group.
  Value to_value() const;
  /// Gives each group whose configured rate differs from that in `before` the rate of this run.
  /// What schedules or hooks have made of the rate is kept as a factor. Returns the changes, each
  /// as "learning_rate = 0.001 (3)". The optimizers are those of the constructor, with the state of
  /// the checkpoint, and `before` is the value that its run saved; if it is null, the base rates
  /// that are in force take its place.
  std::vector<std::string> apply(Optimizers& optimizers, const Value& before) const;

 private:
  std::vector<double> rates_;  // group after group
};

}  // namespace levin
