#include <levin/cli/plugin_classes.h>

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <set>
#include <sstream>
#include <string_view>

#include <fmt/format.h>

#include <levin/cli/plugin.h>
#include <levin/cli/plugins/plugin_file.h>
#include <levin/datamodules/kfold.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/home.h>
#include <levin/framework/tensor/torch_error.h>

namespace levin {
namespace {

constexpr std::string_view kPluginOption = "--plugin";

void call_plugin(const std::string& path, Registry& registry) {
  const auto add_classes =
      reinterpret_cast<decltype(&levin_plugin)>(load_plugin_function(path, kPluginBuild));
  try {
    add_classes(registry);
  } catch (const std::exception& error) {
    throw Error(fmt::format("--plugin {}: its function levin_plugin failed: {}", path,
                            plain_message(error)));
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
    result.plugins.push_back(expand_home(file, "--plugin"));
  }
  return result;
}

std::vector<std::string> plugins_of_environment() {
  std::vector<std::string> plugins;
  const char* const value = std::getenv("LEVIN_PLUGIN");
  if (value == nullptr) return plugins;
  std::istringstream files(value);
  for (std::string file; std::getline(files, file, ':');) {
    if (!file.empty()) plugins.push_back(expand_home(file, "LEVIN_PLUGIN"));
  }
  return plugins;
}

Registry with_plugins(const Registry& registry, const std::vector<std::string>& plugins) {
  Registry result = registry;
  std::set<std::filesystem::path> done;
  for (const auto& path : plugins) {
    if (done.insert(std::filesystem::absolute(path).lexically_normal()).second) {
      call_plugin(path, result);
    }
  }
  if (!plugins.empty()) wrap_added_data(result.datamodules);
  return result;
}

}  // namespace levin
