#include <levin/cli/plugin_classes.h>

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <set>
#include <sstream>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

#include <levin/cli/plugin.h>
#include <levin/cli/plugins/plugin_file.h>
#include <levin/datamodules/kfold.h>
#include <levin/framework/config/yaml.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/home.h>
#include <levin/framework/tensor/torch_error.h>

namespace levin {
namespace {

constexpr std::string_view kPluginOption = "--plugin";

/// What messages about a plugin begin with: "--plugin", or "job.yaml:3: plugins:".
std::string beginning_for(const Plugin& plugin) {
  return plugin.place.empty() ? std::string(kPluginOption) : plugin.place + ":";
}

decltype(&levin_plugin) load_plugin(const Plugin& plugin) {
  try {
    return reinterpret_cast<decltype(&levin_plugin)>(
        load_plugin_function(plugin.path, kPluginBuild));
  } catch (const ConfigError& error) {
    const std::string_view message = error.what();
    if (!message.starts_with(kPluginOption)) throw;
    throw ConfigError(beginning_for(plugin).append(message.substr(kPluginOption.size())));
  }
}

void call_plugin(const Plugin& plugin, Registry& registry) {
  const auto add_classes = load_plugin(plugin);
  try {
    add_classes(registry);
  } catch (const std::exception& error) {
    throw Error(fmt::format("{} {}: its function levin_plugin failed: {}", beginning_for(plugin),
                            plugin.path, plain_message(error)));
  }
}

/// Lets the wrappers of data modules wrap the classes that the plugins have added.
void wrap_added_data(DataModuleList& datamodules) {
  const auto* entry = datamodules.find("KFoldDataModule");
  if (entry == nullptr) return;
  datamodules.add_wrapper<KFoldDataModule>(entry->name, entry->help);
}

}  // namespace

PluginWords take_plugins(int argc, const char* const* argv) {
  PluginWords result;
  for (int i = 0; i < argc; ++i) {
    const std::string_view word = argv[i];
    const bool is_joined = word.starts_with("--plugin=");
    if (i == 0 || (word != kPluginOption && !is_joined)) {
      result.words.emplace_back(word);
      continue;
    }
    const bool has_next = i + 1 < argc && std::string_view(argv[i + 1]).substr(0, 2) != "--";
    std::string file;
    if (is_joined) file = word.substr(kPluginOption.size() + 1);
    if (!is_joined && has_next) file = argv[++i];
    if (file.empty()) {
      throw ConfigError("--plugin needs a value: --plugin LIBRARY.so, the library of your classes");
    }
    result.plugins.push_back({expand_home(file, "--plugin")});
  }
  return result;
}

std::vector<Plugin> plugins_of_environment() {
  std::vector<Plugin> plugins;
  const char* const value = std::getenv("LEVIN_PLUGIN");
  if (value == nullptr) return plugins;
  std::istringstream files(value);
  for (std::string file; std::getline(files, file, ':');) {
    if (!file.empty()) plugins.push_back({expand_home(file, "LEVIN_PLUGIN"), "LEVIN_PLUGIN"});
  }
  return plugins;
}

std::vector<Plugin> plugins_of_files(const std::vector<std::string>& configs) {
  std::vector<Plugin> plugins;
  for (const auto& config : configs) {
    std::error_code ignored;
    // It may be a pipe, which can be read only once.
    if (std::filesystem::is_other(config, ignored)) continue;
    const ConfigNode root = read_yaml(config);
    const ConfigNode* const named = root.find("plugins");
    if (named == nullptr || named->plain().is_null()) continue;
    const auto folder = std::filesystem::path(expand_home(config, "--config")).parent_path();
    const auto take = [&](const ConfigNode& item) {
      if (!item.is_scalar() || item.text.empty()) {
        throw ConfigError(fmt::format("{}: plugins = {}: expected a library, or a list of them",
                                      named->origin.to_string(),
                                      shortened(named->plain().to_json())));
      }
      const auto path = folder / expand_home(item.text, "plugins");
      plugins.push_back({path.string(), item.origin.to_string() + ": plugins"});
    };
    if (!named->is_list()) take(*named);
    for (const auto& item : named->items) take(item);
  }
  return plugins;
}

Registry with_plugins(const Registry& registry, const std::vector<Plugin>& plugins) {
  Registry result = registry;
  std::set<std::string> done(registry.plugins.begin(), registry.plugins.end());
  for (const auto& each : plugins) {
    const auto path = std::filesystem::absolute(each.path).lexically_normal().string();
    if (!done.insert(path).second) continue;
    call_plugin(each, result);
    result.plugins.push_back(path);
  }
  if (!plugins.empty()) wrap_added_data(result.datamodules);
  return result;
}

}  // namespace levin
