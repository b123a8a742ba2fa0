#include <levin/cli/command_line.h>

#include <algorithm>
#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include <levin/cli/arguments.h>
#include <levin/cli/completion.h>
#include <levin/cli/config_schema.h>
#include <levin/cli/convert_files.h>
#include <levin/cli/environment.h>
#include <levin/cli/exit_status.h>
#include <levin/cli/export_model.h>
#include <levin/cli/help.h>
#include <levin/cli/new/new_files.h>
#include <levin/cli/output.h>
#include <levin/cli/past_runs.h>
#include <levin/cli/plugin_classes.h>
#include <levin/cli/run_job.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/version.h>
#include <levin/framework/core/write_signals.h>
#include <levin/framework/tensor/torch_error.h>

namespace levin {
namespace {

constexpr std::string_view kOutOfMemory =
    "there isn't enough memory; lower batch_size or num_workers, or use StreamDataModule for data "
    "that is larger than memory";

int print(const std::string& text) {
  write_output(text);
  return kDone;
}

int report(std::string_view message, int status) {
  diagnostics::print(fmt::format("error: {}\n", message));
  return status;
}

std::string only_word(const Arguments& arguments, std::string_view what) {
  if (arguments.words.size() == 1) return arguments.words.front();
  throw ConfigError(fmt::format("{0} {1} takes one {2}, but got {3}; see {0} {1} --help",
                                arguments.program, arguments.command, what,
                                arguments.words.size()));
}

/// Throws ConfigError for a word that is neither a command nor has settings.
void require_known_word(const std::string& word, const Registry& registry, const Commands& more) {
  auto known = documented_names(registry);
  for (const auto& name : known) {
    if (name == word || name == short_class_name(word)) return;
  }
  for (const auto* list : {&commands(), &more}) {
    for (const auto& each : *list) known.push_back(each.name);
  }
  throw ConfigError::unknown_name("class or command", word, known);
}

/// The text of `help WORD...`: each word is a command or has settings.
std::string help_about(const Arguments& arguments, const Registry& registry, const Commands& more) {
  if (arguments.words.empty()) return general_help(arguments.program, more);
  std::string text;
  for (const auto& word : arguments.words) {
    const auto is_named = [&](const Command& each) { return each.name == word; };
    const bool is_command = std::any_of(commands().begin(), commands().end(), is_named) ||
                            std::any_of(more.begin(), more.end(), is_named);
    if (!text.empty()) text += "\n";
    if (!is_command) require_known_word(word, registry, more);
    text +=
        is_command ? command_help(arguments.program, word, more) : settings_help(registry, word);
  }
  return text;
}

std::string new_files(const Arguments& arguments) {
  const auto& words = arguments.words;
  if (words.size() != 2) {
    throw ConfigError(
        fmt::format("{0} new takes a kind and a name, such as `{0} new project "
                    "flowers`, but got {1}; see {0} new --help",
                    arguments.program, counted(words.size(), "word")));
  }
  return write_new_files(words[0], words[1], arguments.output);
}

/// Which of the options that commands share a command takes; "settings" are those of a
/// configuration.
std::vector<std::string> shared_options_of(std::string_view command, const Commands& more) {
  if (const Command* described = command_with_run(command, more)) return described->shared_options;
  if (command == "convert" || command == "export") return {"json", "output"};
  if (command == "new") return {"output"};
  if (command == "runs") return {"json", "metric"};
  std::vector<std::string> options = {"config", "json", "print-config", "settings"};
  if (command == "predict") options.emplace_back("output");
  if (command == "fit" || command == "validate" || command == "test" || command == "predict") {
    return options;
  }
  return {};
}

void refuse_misplaced(const Arguments& arguments, const Commands& more) {
  const auto taken = shared_options_of(arguments.command, more);
  const auto refuse = [&](bool given, const std::string& option, std::string_view command) {
    if (!given || std::find(taken.begin(), taken.end(), option) != taken.end()) return;
    const auto& settings = arguments.overrides;
    throw ConfigError(fmt::format("--{} is an option of `{} {}`; {} doesn't take it",
                                  option == "settings" ? settings.front().path : option,
                                  arguments.program, command, arguments.command));
  };
  refuse(!arguments.output.empty(), "output", "predict");
  refuse(!arguments.metrics.empty(), "metric", "plot");
  refuse(!arguments.configs.empty(), "config", "fit");
  refuse(!arguments.overrides.empty(), "settings", "fit");
  refuse(arguments.json, "json", "fit");
  refuse(arguments.print_config, "print-config", "fit");
}

int dispatch(const Arguments& arguments, const Registry& registry, const Commands& more) {
  const std::string& command = arguments.command;
  if (arguments.version) return print(fmt::format("levin {}\n", kVersion));
  if (!arguments.help_about.empty()) return print(settings_help(registry, arguments.help_about));
  if (command.empty() && arguments.help) return print(general_help(arguments.program, more));
  if (command.empty()) {
    diagnostics::print(general_help(arguments.program, more));
    return kWrongUsage;
  }
  const std::string help = command_help(arguments.program, command, more);
  if (arguments.help) return print(help);
  refuse_misplaced(arguments, more);
  if (const Command* described = command_with_run(command, more)) {
    return described->run(arguments, registry);
  }
  if (command == "list") {
    return print(class_list(registry, arguments.words.empty() ? "" : only_word(arguments, "kind")));
  }
  if (command == "help") return print(help_about(arguments, registry, more));
  if (command == "runs") return list_past_runs(arguments);
  if (command == "completion") {
    const std::string shell = only_word(arguments, "shell");
    return print(completion_script(shell, arguments.program, registry, more));
  }
  if (command == "schema") {
    if (!arguments.words.empty())
      throw ConfigError(
          fmt::format("unexpected word '{}'; schema takes none", arguments.words.front()));
    return print(config_schema(registry));
  }
  if (command == "convert") return convert_files(arguments);
  if (command == "new") return print(new_files(arguments));
  if (command == "export") return export_model(arguments, registry);
  return run_job(arguments, registry);
}

/// The plugins that the files of a command's configuration name.
std::vector<Plugin> plugins_of_configuration(const Arguments& arguments, const Registry& registry,
                                             const Commands& more) {
  const auto taken = shared_options_of(arguments.command, more);
  const bool is_configured = std::find(taken.begin(), taken.end(), "config") != taken.end();
  if (!is_configured || arguments.help || arguments.version) return {};
  const bool is_own = command_with_run(arguments.command, more) == nullptr;
  auto files =
      read_environment(is_own ? arguments.command : "fit", environment_of_process(), registry)
          .configs;
  files.insert(files.end(), arguments.configs.begin(), arguments.configs.end());
  return plugins_of_files(files);
}

/// Runs the words of a command line with the classes of `plugins`, and of those that its
/// configuration names.
int run_words(const std::vector<std::string>& words, const std::vector<Plugin>& plugins,
              const Registry& registry, const Commands& more) {
  std::vector<const char*> argv;
  for (const auto& word : words) argv.push_back(word.c_str());
  const auto arguments =
      parse_arguments(static_cast<int>(argv.size()), argv.data(), registry, more);
  auto all = plugins_of_configuration(arguments, registry, more);
  all.insert(all.end(), plugins.begin(), plugins.end());
  if (all.empty()) return dispatch(arguments, registry, more);
  return dispatch(arguments, with_plugins(registry, all), more);
}

}  // namespace

int run_command_line(int argc, const char* const* argv, const Registry& registry,
                     const Commands& more) {
  occupy_standard_descriptors();
  const NoWriteSignals signals;
  try {
    const PluginWords given = take_plugins(argc, argv);
    auto plugins = plugins_of_environment();
    plugins.insert(plugins.end(), given.plugins.begin(), given.plugins.end());
    return run_words(given.words, plugins, registry, more);
  } catch (const ConfigError& error) {
    return report(error.what(), kWrongUsage);
  } catch (const std::bad_alloc&) {
    return report(kOutOfMemory, kFailed);
  } catch (const std::exception& error) {
    return report(plain_message(error), kFailed);
  }
}

}  // namespace levin
