#pragma once

#include <string>
#include <string_view>

#include <levin/framework/config/registry.h>

namespace levin {

/// What `levin --help` prints.
std::string general_help(std::string_view program);

/// What `levin fit --help` prints. Throws ConfigError for a command that isn't one.
std::string command_help(std::string_view program, std::string_view command);

/// "  learning_rate: float = 0.1   the step's size", a setting a line.
std::string settings_table(const Fields& fields);

/// What `levin help NAME` prints: the settings of a class or of "trainer", with type, default and
/// meaning. Throws ConfigError for an unknown name.
std::string settings_help(const Registry& registry, std::string_view name);

/// What `levin list [KIND]` prints: a class a line. Throws ConfigError for an unknown kind.
std::string class_list(const Registry& registry, std::string_view kind = {});

}  // namespace levin
