#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <levin/cli/command.h>
#include <levin/framework/config/registry.h>

namespace levin {

/// The commands of cli/, in the order in which help shows them.
const Commands& commands();

/// Returns the command of that name that has a `run`, of `more` or of cli/; null if there is none.
const Command* command_with_run(std::string_view name, const Commands& more = {});

/// Returns the text of `levin --help`: the commands there are, also those of `more`, which a
/// program adds.
std::string general_help(std::string_view program, const Commands& more = {});

/// Returns the text of `levin COMMAND --help`: usage and options of one command. Throws ConfigError
/// if there is no such command.
std::string command_help(std::string_view program, std::string_view command,
                         const Commands& more = {});

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
