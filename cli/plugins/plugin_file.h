#pragma once

#include <filesystem>

#include <levin/cli/plugins/plugin_build.h>

namespace levin {

/// Throws ConfigError unless the file is a shared library for this kind of machine and holds a
/// `PluginBuild` equal to `own`. Reads the file alone: no code of it runs.
void check_plugin_file(const std::filesystem::path& path, const PluginBuild& own);

/// Checks the file as above, loads it, and returns the address of its function `levin_plugin`. The
/// library stays loaded until the process ends. Throws ConfigError if it can't be loaded, for
/// example because a library that it needs is missing, or if it has no such function.
void* load_plugin_function(const std::filesystem::path& path, const PluginBuild& own);

}  // namespace levin
