#pragma once

#include <string>
#include <vector>

#include <levin/framework/config/registry.h>

namespace levin {

/// A library of classes, and the place that messages name: "job.yaml:3: plugins", "LEVIN_PLUGIN",
/// or empty if it was given by `--plugin`.
struct Plugin {
  std::string path;
  std::string place{};
};

/// A command line, parted into the plugins that it names and the other words.
struct PluginWords {
  /// The values of `--plugin`, in order.
  std::vector<Plugin> plugins{};
  /// All other words, the program's name first.
  std::vector<std::string> words{};
};

/// Takes the options `--plugin FILE` and `--plugin=FILE` out of a command line, wherever they
/// stand. Throws ConfigError if a file is missing.
PluginWords take_plugins(int argc, const char* const* argv);

/// The files of the environment variable LEVIN_PLUGIN, with colons between them.
std::vector<Plugin> plugins_of_environment();

/// The plugins that the configuration files `configs` name, file by file: each may have `plugins`,
/// a library or a list of them. A path that isn't absolute begins at the folder of its file. Throws
/// ConfigError, with file and line, if a file can't be read or `plugins` is something else. Pipes
/// and devices aren't read; `read_configuration` refuses `plugins` in them.
std::vector<Plugin> plugins_of_files(const std::vector<std::string>& configs);

/// Returns `registry` with the classes of the plugins (cli/plugin.h), which stay loaded until the
/// process ends, and with their paths in `Registry::plugins`. A file that is named twice counts
/// once. Throws ConfigError, which names the file, if it is no plugin for this program, and Error
/// if its function throws.
Registry with_plugins(const Registry& registry, const std::vector<Plugin>& plugins);

}  // namespace levin
