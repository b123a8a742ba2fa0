#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/config/merge.h>
#include <levin/framework/config/registry.h>

namespace levin {

/// Settings that environment variables give. Files and settings of the command line win over them.
struct EnvironmentSettings {
  /// The file of LEVIN_CONFIG, or its files if it is a list, in order.
  std::vector<std::string> configs{};
  /// Those of the other variables, which win over these files.
  std::vector<Override> overrides{};
};

/// Reads the settings for `command` out of `environment`, texts such as "NAME=value". A variable is
/// named like its setting, in capitals: two underscores stand for a dot. A name of a command before
/// that makes it count for that command alone, and win.
///
///     LEVIN_CONFIG=digits.yaml  LEVIN_TRAINER__MAX_EPOCHS=5  LEVIN_FIT__MODEL__LEARNING_RATE=0.1
///
/// Other variables that begin with LEVIN_ are no settings, unless two underscores say that they are
/// meant to be. Throws ConfigError for one of these that names no part of a configuration, naming
/// the nearest. The names of settings below a part are checked later, as those of files are;
/// messages then name the variable. `registry` says how settings that have capitals are written.
EnvironmentSettings read_environment(std::string_view command,
                                     const std::vector<std::string>& environment,
                                     const Registry& registry);

/// The variables of this process.
std::vector<std::string> environment_of_process();

}  // namespace levin
