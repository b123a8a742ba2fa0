#pragma once

#include <string>
#include <vector>

#include <levin/framework/config/registry.h>

namespace levin {

/// A command line, parted into the plugins that it names and the other words.
struct PluginWords {
  /// The values of `--plugin`, in order.
  std::vector<std::string> plugins{};
  /// All other words, the program's name first.
  std::vector<std::string> words{};
};

/// Takes the options `--plugin FILE` and `--plugin=FILE` out of a command line, wherever they
/// stand. Throws ConfigError if a file is missing.
PluginWords take_plugins(int argc, const char* const* argv);

/// The files of the environment variable LEVIN_PLUGIN, with colons between them.
std::vector<std::string> plugins_of_environment();

/// Returns `registry` with the classes of the plugins (cli/plugin.h), which stay loaded until the
/// process ends. A file that is named twice counts once. Throws ConfigError, which names the file,
/// if it is no plugin for this program, and Error if its function throws.
Registry with_plugins(const Registry& registry, const std::vector<std::string>& plugins);

}  // namespace levin
