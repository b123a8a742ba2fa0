#pragma once

#include <string>
#include <utility>
#include <vector>

#include <levin/framework/config/merge.h>

namespace levin {

/// A command line taken apart; nothing in it has been looked up yet.
struct Arguments {
  /// How the program was called, without folders.
  std::string program = "levin";
  /// "fit", "list" ...; empty where there is none.
  std::string command{};
  /// What follows the command and isn't an option: `plot RUN`, `help CLASS`.
  std::vector<std::string> words{};
  std::vector<std::string> configs{};
  /// `--trainer.max_epochs=5` and the like, in order; `--ckpt-path` is one of them.
  std::vector<Override> overrides{};
  bool json = false;
  bool print_config = false;
  bool help = false;
  bool version = false;
  /// The class of `--model.help CLASS`, or "trainer" of `--trainer.help`.
  std::string help_about{};
  /// Where `predict` writes (empty: the run folder) or `convert` does.
  std::string output{};
  /// The options of `convert` with their values, in order.
  std::vector<std::pair<std::string, std::string>> settings{};
  /// What `plot` draws; none: one is chosen.
  std::vector<std::string> metrics{};
};

/// Options are `--name value` or `--name=value`; a setting without a value is true. Throws
/// ConfigError for an option that isn't one, naming the nearest.
Arguments parse_arguments(int argc, const char* const* argv);

}  // namespace levin
