#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/config/registry.h>

namespace levin {

/// A command of the program.
struct Command {
  std::string name;
  /// What follows the name, "CLASS|trainer".
  std::string usage;
  /// What it does, in one line.
  std::string help;
};

/// All commands, in the order in which help shows them.
const std::vector<Command>& commands();

/// Returns the text of `levin --help`: the commands there are.
std::string general_help(std::string_view program);

/// Returns the text of `levin COMMAND --help`: usage and options of one command. Throws ConfigError
/// if there is no such command.
std::string command_help(std::string_view program, std::string_view command);

/// Returns a table with one setting a line: "  learning_rate: float = 0.1   the step's size".
std::string settings_table(const Fields& fields);

/// Returns the text of `levin help NAME`: the settings of a class, or of "trainer", each with its
/// type, default and meaning. Throws ConfigError for an unknown name, naming the nearest.
std::string settings_help(const Registry& registry, std::string_view name);

/// Returns the text of `levin list [KIND]`: the classes of the registry, one a line. `kind` is
/// "models", "datamodules" ...; empty: all kinds. Throws ConfigError for an unknown kind.
std::string class_list(const Registry& registry, std::string_view kind = {});

/// The kinds that `class_list` knows.
std::vector<std::string> class_kinds(const Registry& registry);

/// The names that `settings_help` knows: "trainer" and all classes.
std::vector<std::string> documented_names(const Registry& registry);

}  // namespace levin
