#include <levin/cli/arguments.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include <levin/cli/help.h>
#include <levin/framework/config/job.h>
#include <levin/framework/config/yaml.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/home.h>

namespace levin {
namespace {

const std::vector<std::string> kFlags = {"json", "print_config", "help", "version"};
// "plugin" is taken before (plugin_classes.h), and is here for the names that errors propose.
const std::vector<std::string> kWithValue = {"config", "output", "metric", "plugin"};

bool contains(const std::vector<std::string>& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

/// Turns `ckpt-path` into `ckpt_path`, which means the same.
std::string with_underscores(std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

/// Reads the arguments one after another.
class Parser {
 public:
  Parser(int argc, const char* const* argv, const Registry& registry, const Commands& more)
      : words_(argv, argv + argc), registry_(registry), more_(more) {
    if (!words_.empty()) {
      arguments_.program = std::filesystem::path(words_.front()).filename().string();
    }
  }

  Arguments parse() {
    for (next_ = 1; next_ < words_.size();) {
      const std::string word = words_[next_++];
      if (word.starts_with("--") && word.size() > 2) {
        take_option(word.substr(2));
      } else if (word == "-h" || word == "-c" || word == "-o") {
        take_option(word == "-h" ? "help" : word == "-c" ? "config" : "output");
      } else if (word.starts_with("-")) {
        refuse_dash(word);
      } else if (arguments_.command.empty()) {
        arguments_.command = word;
      } else {
        arguments_.words.push_back(word);
      }
    }
    return std::move(arguments_);
  }

 private:
  void take_option(const std::string& text) {
    const size_t equals = text.find('=');
    std::string name = text.substr(0, equals);
    std::optional<std::string> value;
    if (equals != std::string::npos) value = text.substr(equals + 1);
    const bool append = name.ends_with('+');
    if (append) name.pop_back();
    if (name.find('.') == std::string::npos) name = with_underscores(name);

    if (name.ends_with(".help")) return take_help(name.substr(0, name.find('.')), value);
    if (contains(kFlags, name)) return take_flag(name, value);
    if (contains(kWithValue, name)) return take_value(name, required(name, value));
    if (arguments_.command == "convert" || arguments_.command == "export") {
      arguments_.settings.emplace_back(name, required(name, value));
      return;
    }
    if (const Command* described = command_with_run(arguments_.command, more_)) {
      return take_setting(*described, name, value);
    }
    if (!contains(configuration_parts(), name.substr(0, name.find('.')))) refuse(name);
    if (!value && next_is_value()) value = words_[next_++];
    if (!value && name.find('.') == std::string::npos) value = required(name, value);
    ConfigNode node = parse_argument(value.value_or("true"));
    node.lacks_value = !value || value->empty();
    arguments_.overrides.push_back({name, std::move(node), append});
  }

  /// Takes an option of a command that describes its options. Whether it knows the option is left
  /// to the command.
  void take_setting(const Command& command, const std::string& name,
                    const std::optional<std::string>& value) {
    bool takes_no_value = false;
    if (command.with_options) {
      command.with_options([&](const Fields& fields) {
        takes_no_value = std::any_of(fields.begin(), fields.end(), [&](const Field& field) {
          return field.name == name && is_switch(field);
        });
      });
    }
    const bool next_is_switch =
        next_ < words_.size() && (words_[next_] == "true" || words_[next_] == "false");
    const bool alone = takes_no_value && !value && !next_is_switch;
    arguments_.settings.emplace_back(name, alone ? "true" : required(name, value));
  }

  void take_flag(const std::string& name, const std::optional<std::string>& value) {
    if (value) throw ConfigError(fmt::format("--{} takes no value, but got '{}'", name, *value));
    if (name == "json") arguments_.json = true;
    if (name == "print_config") arguments_.print_config = true;
    if (name == "help") arguments_.help = true;
    if (name == "version") arguments_.version = true;
  }

  void take_value(const std::string& name, const std::string& value) {
    if (name == "config") arguments_.configs.push_back(value);
    if (name == "output") arguments_.output = expand_home(value, "--output");
    if (name == "metric") arguments_.metrics.push_back(value);
  }

  /// Reads `--model.help MLP`. Without a class, the help is about the part itself.
  void take_help(const std::string& part, const std::optional<std::string>& value) {
    arguments_.help_about = value ? *value : next_is_value() ? words_[next_++] : part;
  }

  bool next_is_value() const { return next_ < words_.size() && !words_[next_].starts_with("--"); }

  std::string required(const std::string& name, const std::optional<std::string>& value) {
    if (value) return *value;
    if (next_is_value()) return words_[next_++];
    throw ConfigError(fmt::format("--{} needs a value: --{}=VALUE", name, name));
  }

  /// Refuses an option with a single dash, such as `-config`, and proposes the one that is meant.
  [[noreturn]] void refuse_dash(const std::string& word) const {
    const std::string name = with_underscores(word.substr(1, word.find('=') - 1));
    std::vector<std::string> known;
    for (const auto* list : {&kFlags, &kWithValue, &configuration_parts()}) {
      known.insert(known.end(), list->begin(), list->end());
    }
    std::string meant = name == "v" || name == "V" ? "version" : nearest_name(name, known);
    if (name.find('.') != std::string::npos) meant = name;
    throw ConfigError(
        meant.empty() ? fmt::format("unknown option '{}'; see {} --help", word, arguments_.program)
                      : fmt::format("unknown option '{}'; did you mean '--{}'?", word, meant));
  }

  [[noreturn]] void refuse(const std::string& name) const {
    if (is_trainer_key(registry_, name)) {
      throw ConfigError(
          fmt::format("unknown option '--{}'; did you mean '--trainer.{}'?", name, name));
    }
    std::vector<std::string> known;
    for (const auto* list : {&kFlags, &kWithValue, &configuration_parts()}) {
      for (const auto& each : *list) known.push_back("--" + each);
    }
    throw ConfigError::unknown_name("option", "--" + name, known);
  }

  std::vector<std::string> words_;
  const Registry& registry_;
  const Commands& more_;
  size_t next_ = 1;
  Arguments arguments_;
};

}  // namespace

Arguments parse_arguments(int argc, const char* const* argv, const Registry& registry,
                          const Commands& more) {
  return Parser(argc, argv, registry, more).parse();
}

}  // namespace levin
