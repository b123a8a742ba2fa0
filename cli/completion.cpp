#include <levin/cli/completion.h>

#include <algorithm>
#include <map>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/cli/export_model.h>
#include <levin/cli/help.h>
#include <levin/cli/new/new_files.h>
#include <levin/datamodules/convert.h>
#include <levin/framework/config/schedule_settings.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/options.h>
#include <levin/framework/run/trainer_options.h>

namespace levin {
namespace {

const std::vector<std::string> kShells = {"bash", "zsh", "fish"};

/// An option with what may follow it.
struct Choice {
  /// Without dashes: "trainer.max_epochs".
  std::string name;
  std::string help;
  /// The words that its value can be; any if there are none.
  std::vector<std::string> values{};
  bool takes_value = true;
  /// Whether its value may be the name of a file.
  bool takes_files = false;
};

/// Options and words that commands have in common.
struct CompletionGroup {
  /// The names of the commands, with spaces between them.
  std::string commands;
  std::vector<Choice> options{};
  /// What its words can be.
  std::vector<std::string> words{};
  bool takes_files = false;
};

Choice choice_of(const std::string& name, const Field& field) {
  Choice choice{name, field.help};
  if (is_switch(field)) choice.values = {"true", "false"};
  choice.takes_files = std::holds_alternative<std::string*>(field.value) ||
                       std::holds_alternative<std::optional<std::string>*>(field.value) ||
                       std::holds_alternative<std::vector<std::string>*>(field.value);
  return choice;
}

/// Adds the choice of a class and the settings of all classes, each name once.
template <class List>
void add_part(std::vector<Choice>& options, const std::string& part, const List& list) {
  options.push_back({part, "class", list.names()});
  std::map<std::string, Choice> settings;
  for (const auto& entry : list.entries()) {
    const auto draft = entry.draft();
    for (const auto& field : draft.fields) {
      settings.try_emplace(field.name, choice_of(part + "." + field.name, field));
    }
  }
  for (auto& [name, choice] : settings) options.push_back(std::move(choice));
}

std::vector<Choice> job_options(const Registry& registry) {
  std::vector<Choice> options = {
      {.name = "config", .help = "a YAML file", .takes_files = true},
      {.name = "ckpt-path",
       .help = "a checkpoint: a file, best or last",
       .values = {"best", "last"},
       .takes_files = true},
      {.name = "json", .help = "print the metrics as JSON", .takes_value = false},
      {.name = "print-config", .help = "print every setting and stop", .takes_value = false},
      {.name = "seed_everything", .help = "a whole number, or false"}};
  TrainerOptions trainer;
  Fields fields = describe(trainer);
  bool on = true;
  for (const auto& each : registry.default_callbacks) {
    fields.push_back({each.option, &on, each.help});
  }
  for (const auto& field : fields) options.push_back(choice_of("trainer." + field.name, field));
  options.push_back({"trainer.callbacks+", "add a callback", registry.callbacks.names()});
  auto loggers = registry.loggers.names();
  loggers.insert(loggers.end(), {"true", "false"});
  options.push_back({"trainer.logger", "true, false or a class", std::move(loggers)});
  add_part(options, "model", registry.models);
  add_part(options, "data", registry.datamodules);
  add_part(options, "optimizer", registry.optimizers);
  add_part(options, "lr_scheduler", registry.schedulers);
  ScheduleSettings schedule;
  for (const auto& field : describe(schedule)) {
    options.push_back(choice_of("lr_scheduler." + field.name, field));
  }
  return options;
}

std::vector<CompletionGroup> completion_groups(const Registry& registry, const Commands& more) {
  const Choice output{.name = "output", .help = "where to write", .takes_files = true};
  const Choice json{.name = "json", .help = "print JSON", .takes_value = false};
  const Choice metric{.name = "metric", .help = "a metric"};
  const Choice config{.name = "config", .help = "a YAML file", .takes_files = true};
  std::vector<Choice> convert = {output, json};
  ConvertOptions options;
  for (const auto& field : describe(options)) convert.push_back(choice_of(field.name, field));
  auto predict = job_options(registry);
  predict.push_back(output);
  std::vector<CompletionGroup> groups = {
      {"fit validate test", job_options(registry)},
      {"predict", std::move(predict)},
      {"list", {}, class_kinds(registry)},
      {"help", {}, documented_names(registry)},
      {"convert", std::move(convert), {}, true},
      {"export",
       {output, json, {"format", "the format of the file", export_formats()}},
       {"best", "last"},
       true},
      {"new", {output}, kinds_of_new_files()},
      {"runs", {metric, json}, {}, true},
      {"completion", {}, kShells}};
  Commands described = commands();
  std::erase_if(described, [](const Command& each) { return !each.run; });
  described.insert(described.end(), more.begin(), more.end());
  for (const auto& command : described) {
    CompletionGroup group{command.name, {}, {}, true};
    for (const auto& shared : {config, json, metric, output}) {
      const auto& taken = command.shared_options;
      if (std::find(taken.begin(), taken.end(), shared.name) != taken.end()) {
        group.options.push_back(shared);
      }
    }
    if (command.with_options) {
      command.with_options([&](const Fields& fields) {
        for (const auto& field : fields) {
          group.options.push_back(choice_of(option_name(field.name), field));
        }
      });
    }
    groups.push_back(std::move(group));
  }
  for (auto& group : groups) {
    group.options.push_back(
        {.name = "plugin", .help = "a library of your classes", .takes_files = true});
  }
  return groups;
}

/// The commands of the program, those of cli/ first.
Commands all_commands(const Commands& more) {
  Commands all = commands();
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

/// Text in single quotes for a shell that ends them by '\''.
std::string shell_quoted(std::string_view text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

std::string case_pattern(std::string commands) {
  std::replace(commands.begin(), commands.end(), ' ', '|');
  return commands;
}

/// The function that bash and zsh share: it sets `values` and `files` (whether a value may be a
/// file) for a command's option.
std::string values_function(const std::vector<CompletionGroup>& groups) {
  std::string text = "_levin_values() {\n  values=''; files=0\n  case $1 in\n";
  for (const auto& group : groups) {
    text += fmt::format("  {}) case $2 in\n", case_pattern(group.commands));
    for (const auto& option : group.options) {
      if (option.values.empty() && !option.takes_files) continue;
      text += fmt::format("    --{}) values='{}'; files={} ;;\n", option.name,
                          fmt::join(option.values, " "), option.takes_files ? 1 : 0);
    }
    text += "    esac ;;\n";
  }
  return text + "  esac\n}\n";
}

/// The options of a group, "--json" or "--config=", with a space between them.
std::string option_words(const CompletionGroup& group) {
  std::string text;
  for (const auto& option : group.options) {
    text += fmt::format("--{}{} ", option.name, option.takes_value ? "=" : "");
  }
  return text + "--help";
}

std::string command_names(const Commands& all) {
  std::vector<std::string> names;
  for (const auto& command : all) names.push_back(command.name);
  return fmt::format("{}", fmt::join(names, " "));
}

constexpr const char* kBash = R"bash(
# Splits the line into `before` and `current`, without the backslashes and quotes in words.
_levin_split() {
  local line=$1 quote= char i
  for ((i = 0; i < ${#line}; ++i)); do
    char=${line:i:1}
    if [[ -n $quote && $char == "$quote" ]]; then
      quote=
    elif [[ -n $quote ]]; then
      current+=$char
    elif [[ $char == \\ ]]; then
      ((++i))
      current+=${line:i:1}
    elif [[ $char == [\"\'] ]]; then
      quote=$char
    elif [[ $char != ' ' ]]; then
      current+=$char
    elif [[ -n $current ]]; then
      before+=("$current")
      current=
    fi
  done
}
# Adds the files whose names begin with the word, which may have spaces in them.
_levin_files() {
  local file
  while IFS= read -r file; do
    [[ -n $file ]] && COMPREPLY+=("$file")
  done <<< "$(compgen -f -- "$1")"
  compopt -o filenames 2> /dev/null
}
_levin() {
  local word command= option= value=
  local values= files=0 options= words= more=0
  local current= previous=
  local -a before=()
  _levin_split "${COMP_LINE:0:COMP_POINT}"
  COMPREPLY=()
  for word in "${before[@]:1}"; do
    previous=$word
    [[ -z $command && $word != -* ]] && command=$word
  done
  if [[ -z $command ]]; then
    COMPREPLY=($(compgen -W "$commands --help --version" -- "$current"))
    return
  fi
  if [[ $current == -*=* ]]; then
    option=${current%%=*} value=${current#*=}
  elif [[ $previous == -* && $previous != *=* && $current != -* ]]; then
    option=$previous value=$current
  fi
  _levin_words "$command"
  if [[ -n $option && " $options " == *" $option= "* ]]; then
    _levin_values "$command" "$option"
    COMPREPLY=($(compgen -W "$values" -- "$value"))
    ((files)) && _levin_files "$value"
    return
  fi
  if [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$current"))
    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2> /dev/null
    return
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  ((more)) && _levin_files "$current"
}
)bash";

constexpr const char* kZsh = R"(
_levin() {
  local option= values= files=0 options= words_of_command= more=0
  local current=$words[CURRENT] previous=$words[CURRENT-1]
  if (( CURRENT == 2 )); then
    _describe command descriptions
    return
  fi
  _levin_words $words[2]
  if [[ $current == -*=* ]]; then
    option=${current%%=*}
  elif [[ $previous == -* && $previous != *=* && $current != -* ]]; then
    option=$previous
  fi
  if [[ -n $option && " $options " == *" $option= "* ]]; then
    [[ $current == -*=* ]] && compset -P '*='
    _levin_values $words[2] $option
    compadd -- ${=values}
    (( files )) && _files
    return
  fi
  if [[ $current == -* ]]; then
    compadd -S '' -- ${(M)${=options}:#*=}
    compadd -- ${${=options}:#*=}
    return
  fi
  compadd -- ${=words_of_command}
  (( more )) && _files
}
)";

/// The function that sets `options`, `words` and `more` (whether files may follow) of a command.
std::string words_function(const std::vector<CompletionGroup>& groups, std::string_view words) {
  std::string text = "_levin_words() {\n  case $1 in\n";
  for (const auto& group : groups) {
    text += fmt::format("    {}) options='{}'; {}='{}'; more={} ;;\n", case_pattern(group.commands),
                        option_words(group), words, fmt::join(group.words, " "),
                        group.takes_files ? 1 : 0);
  }
  return text + "    *) options='--help' ;;\n  esac\n}\n";
}

std::string bash_script(std::string_view program, const std::vector<CompletionGroup>& groups,
                        const Commands& all) {
  std::string body = kBash;
  const std::string list = "  local commands=" + shell_quoted(command_names(all)) + "\n";
  body.insert(body.find("  local word command="), list);
  return values_function(groups) + words_function(groups, "words") + body +
         fmt::format("complete -F _levin {}\n", program);
}

std::string zsh_script(std::string_view program, const std::vector<CompletionGroup>& groups,
                       const Commands& all) {
  std::string list = "  local -a descriptions=(\n";
  for (const auto& command : all) {
    list += fmt::format("    {}\n", shell_quoted(fmt::format("{}:{}", command.name, command.help)));
  }
  std::string body = kZsh;
  body.insert(body.find("  local option="), list + "  )\n");
  return fmt::format("#compdef {}\n", program) + values_function(groups) +
         words_function(groups, "words_of_command") + body +
         fmt::format(
             "if [[ $funcstack[1] == _levin ]]; then _levin \"$@\"; else compdef _levin {}; fi\n",
             program);
}

/// Text in single quotes for fish, which knows the escapes \\ and \'.
std::string fish_quoted(std::string_view text) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') result += '\\';
    result += c;
  }
  return result + "'";
}

std::string fish_script(std::string_view program, const std::vector<CompletionGroup>& groups,
                        const Commands& all) {
  std::string text = fmt::format("complete -c {} -f\n", program);
  for (const auto& command : all) {
    text += fmt::format("complete -c {} -n __fish_use_subcommand -a {} -d {}\n", program,
                        command.name, fish_quoted(command.help));
  }
  for (const auto& group : groups) {
    const std::string start =
        fmt::format("complete -c {} -n '__fish_seen_subcommand_from {}'", program, group.commands);
    for (const auto& option : group.options) {
      const char* value = !option.takes_value ? "" : option.takes_files ? " -rF" : " -x";
      text += fmt::format("{} -l {}{}", start, fish_quoted(option.name), value);
      if (!option.values.empty()) {
        text +=
            fmt::format(" -a {}", fish_quoted(fmt::format("{}", fmt::join(option.values, " "))));
      }
      text += fmt::format(" -d {}\n", fish_quoted(option.help));
    }
    if (!group.words.empty()) {
      text += fmt::format("{} -a '{}'\n", start, fmt::join(group.words, " "));
    }
    if (group.takes_files) text += start + " -F\n";
  }
  return text;
}

}  // namespace

std::string completion_script(std::string_view shell, std::string_view program,
                              const Registry& registry, const Commands& more) {
  const auto groups = completion_groups(registry, more);
  const Commands all = all_commands(more);
  if (shell == "bash") return bash_script(program, groups, all);
  if (shell == "zsh") return zsh_script(program, groups, all);
  if (shell == "fish") return fish_script(program, groups, all);
  throw ConfigError::unknown_name("shell", shell, kShells);
}

}  // namespace levin
