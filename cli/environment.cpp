#include <levin/cli/environment.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/framework/config/job.h>
#include <levin/framework/config/yaml.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/small_letters.h>

namespace levin {
namespace {

constexpr std::string_view kSettingPrefix = "LEVIN_";
constexpr std::string_view kSettingDot = "__";
constexpr std::array<std::string_view, 4> kSettingCommands = {"fit", "validate", "test", "predict"};

std::string as_variable(std::string_view name) {
  std::string variable(kSettingPrefix);
  for (const char letter : name) {
    const bool is_small = letter >= 'a' && letter <= 'z';
    variable += is_small ? static_cast<char>(letter - 'a' + 'A') : letter;
  }
  return variable;
}

/// Adds the settings whose names have capitals, by their names in small letters.
template <class List>
void add_names_with_capitals(const List& list, std::map<std::string, std::string>& names) {
  for (const auto& entry : list.entries()) {
    const auto draft = entry.draft();
    for (const auto& field : draft.fields) {
      auto small = to_small_letters(field.name);
      if (small != field.name) names.emplace(std::move(small), field.name);
    }
  }
}

/// Sorts variables into those for all commands and those for one.
class EnvironmentReader {
 public:
  EnvironmentReader(std::string_view command, const Registry& registry)
      : command_(command), registry_(registry) {}

  void take(std::string_view variable, std::string_view value) {
    std::vector<std::string> keys = keys_of(variable.substr(kSettingPrefix.size()));
    if (keys == std::vector<std::string>{"config"}) return take_files(general_, variable, value);
    const auto has = [&](const auto& list) {
      return std::find(list.begin(), list.end(), keys.front()) != list.end();
    };
    Settings* settings = &general_;
    if (keys.size() > 1 && has(kSettingCommands)) {
      if (keys.front() != command_) return;
      settings = &special_;
      keys.erase(keys.begin());
      if (keys == std::vector<std::string>{"config"}) {
        return take_files(special_, variable, value);
      }
    }
    const bool is_meant = keys.size() > 1 || settings == &special_;
    if (!has(configuration_parts())) {
      if (is_meant) refuse(variable, keys.front());
      return;  // a variable with another purpose
    }
    ConfigNode node = parse_argument(value);
    set_origin(node, {std::string(variable), 0});
    settings->overrides.push_back(
        {fmt::format("{}", fmt::join(spelt(keys), ".")), std::move(node)});
  }

  EnvironmentSettings result() && {
    for (auto& file : special_.configs) general_.configs.push_back(std::move(file));
    for (auto& each : special_.overrides) general_.overrides.push_back(std::move(each));
    return std::move(general_);
  }

 private:
  using Settings = EnvironmentSettings;

  /// "TRAINER__MAX_EPOCHS" as {"trainer", "max_epochs"}.
  static std::vector<std::string> keys_of(std::string_view name) {
    std::vector<std::string> keys;
    for (;;) {
      const size_t dot = name.find(kSettingDot);
      keys.push_back(to_small_letters(name.substr(0, dot)));
      if (dot == std::string_view::npos) return keys;
      name.remove_prefix(dot + kSettingDot.size());
    }
  }

  static void take_files(Settings& settings, std::string_view variable, std::string_view value) {
    ConfigNode node = parse_argument(value);
    if (node.is_object()) {
      throw ConfigError::invalid_value(std::string(variable), std::string(value),
                                       "expected a file, or a list of files in brackets");
    }
    if (!node.is_list()) return settings.configs.push_back(node.text);
    for (const auto& item : node.items) settings.configs.push_back(item.text);
  }

  /// The keys as the settings are spelt: some have capitals.
  std::vector<std::string> spelt(std::vector<std::string> keys) {
    if (std::exchange(knows_capitals_, true) == false) {
      add_names_with_capitals(registry_.models, capitals_);
      add_names_with_capitals(registry_.datamodules, capitals_);
      add_names_with_capitals(registry_.callbacks, capitals_);
      add_names_with_capitals(registry_.loggers, capitals_);
      add_names_with_capitals(registry_.optimizers, capitals_);
      add_names_with_capitals(registry_.schedulers, capitals_);
    }
    for (size_t i = 1; i < keys.size(); ++i) {
      if (const auto found = capitals_.find(keys[i]); found != capitals_.end()) {
        keys[i] = found->second;
      }
    }
    return keys;
  }

  /// Throws for a variable that is meant to be a setting, but nobody knows of what.
  [[noreturn]] static void refuse(std::string_view variable, const std::string& part) {
    std::vector<std::string> known;
    for (const auto& name : configuration_parts()) known.push_back(as_variable(name));
    for (const auto name : kSettingCommands) known.push_back(as_variable(name));
    throw ConfigError::unknown_name("beginning", as_variable(part), known,
                                    fmt::format("the environment variable {}", variable));
  }

  std::string_view command_;
  const Registry& registry_;
  bool knows_capitals_ = false;
  std::map<std::string, std::string> capitals_;
  Settings general_;
  Settings special_;
};

}  // namespace

EnvironmentSettings read_environment(std::string_view command,
                                     const std::vector<std::string>& environment,
                                     const Registry& registry) {
  std::map<std::string_view, std::string_view> variables;  // a class comes before its settings
  for (const std::string_view each : environment) {
    const size_t equals = each.find('=');
    if (!each.starts_with(kSettingPrefix) || equals == std::string_view::npos) continue;
    variables.emplace(each.substr(0, equals), each.substr(equals + 1));
  }
  EnvironmentReader reader(command, registry);
  for (const auto& [variable, value] : variables) reader.take(variable, value);
  return std::move(reader).result();
}

std::vector<std::string> environment_of_process() {
  std::vector<std::string> variables;
  for (char** each = environ; each != nullptr && *each != nullptr; ++each) {
    variables.emplace_back(*each);
  }
  return variables;
}

}  // namespace levin
