#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/config/registry.h>
#include <levin/framework/core/options.h>

namespace levin {

struct Arguments;

/// A command of the program. Some of those of cli/ have the first three members only; a program
/// adds commands of its own with the others:
///
///     levin::run_command_line(argc, argv, registry, {{.name = "greet", .help = "say hello",
///         .run = [](const levin::Arguments&, const levin::Registry&) { ... return 0; }}});
struct Command {
  std::string name;
  /// What follows the name, "CLASS|trainer".
  std::string usage{};
  /// What it does, in one line.
  std::string help{};
  /// Runs the command and returns the exit status (exit_status.h).
  std::function<int(const Arguments&, const Registry&)> run{};
  /// Calls its argument with the command's options, at their defaults. Help, shell completion and
  /// the parser know the options from here; what the command line gave them is in
  /// `Arguments::settings`. Empty: the command has none.
  std::function<void(const std::function<void(const Fields&)>&)> with_options{};
  /// Which of the options that commands share it takes: "config", "json", "metric", "output". They
  /// are in `Arguments`, too. The others are refused.
  std::vector<std::string> shared_options{};
  /// What `levin COMMAND --help` says below the options.
  std::string notes{};
};

using Commands = std::vector<Command>;

/// Returns `Command::with_options` for a struct of options that has a `describe`.
template <class Options>
std::function<void(const std::function<void(const Fields&)>&)> options_of() {
  return [](const std::function<void(const Fields&)>& take) {
    Options options;
    take(describe(options));
  };
}

/// Returns the name of a setting as an option of a command: "max_batch" is "max-batch".
std::string option_name(std::string_view field);

/// Whether an option of a command may come without a value, which then is true.
bool is_switch(const Field& field);

/// Sets fields from `Arguments::settings`. A list collects the values of an option that came
/// several times. Throws ConfigError for an unknown name, proposing the nearest one, and for a
/// value of another type.
void set_options(const Fields& fields, const Arguments& arguments);

}  // namespace levin
