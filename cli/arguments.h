#pragma once

#include <string>
#include <utility>
#include <vector>

#include <levin/cli/command.h>
#include <levin/framework/config/merge.h>

namespace levin {

/// The parts of a command line, as `parse_arguments` returns them. Whether its commands, files and
/// classes exist isn't checked yet.
struct Arguments {
  /// The name by which the program was called, without folders.
  std::string program = "levin";
  /// "fit", "list" ...; empty if no command was given.
  std::string command{};
  /// The words after the command that are no options: RUN of `plot RUN`, CLASS of `help CLASS`.
  std::vector<std::string> words{};
  /// The files of `--config`, in order.
  std::vector<std::string> configs{};
  /// Settings such as `--trainer.max_epochs=5`, in order; `--ckpt-path` is one of them.
  std::vector<Override> overrides{};
  /// Whether the flags of these names were given.
  bool json = false;
  bool print_config = false;
  bool help = false;
  bool version = false;
  /// The class of `--model.help CLASS`, or "trainer" for `--trainer.help`.
  std::string help_about{};
  /// `--output`: where `predict`, `convert`, `export` or `plot` writes. Empty: `predict` writes to
  /// the run folder.
  std::string output{};
  /// The options of `convert`, `export` or a command that describes its options, with their values,
  /// in order; the names have underscores.
  std::vector<std::pair<std::string, std::string>> settings{};
  /// The metrics that `plot` draws and `runs` shows; if none is given, they choose.
  std::vector<std::string> metrics{};
};

/// Parses a command line. Options are `--name value` or `--name=value`, with `-` or `_` between
/// words; a setting without a value is true, which only switches can be. Options and words may come
/// in any order after the command.
///
/// Throws ConfigError for an unknown option, naming the nearest one (`registry` has the switches of
/// default callbacks, such as `--trainer.enable_checkpointing`), for a flag with a value, and for
/// an option whose value is missing. `argv` isn't used after the call.
Arguments parse_arguments(int argc, const char* const* argv, const Registry& registry,
                          const Commands& more = {});

}  // namespace levin
