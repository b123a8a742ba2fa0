#include <levin/cli/help.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include <levin/cli/convert_files.h>
#include <levin/cli/export_model.h>
#include <levin/cli/new/new_files.h>
#include <levin/cli/plot_command.h>
#include <levin/cli/report_command.h>
#include <levin/datamodules/transforms.h>
#include <levin/framework/averaging/model_averaging.h>
#include <levin/framework/compression/gradient_compression.h>
#include <levin/framework/core/error.h>
#include <levin/framework/metrics/metric_list.h>
#include <levin/framework/run/trainer_options.h>

namespace levin {
namespace {

const Commands kCommands = {
    {"fit", "--config FILE... [--SETTING=VALUE ...]", "train a model"},
    {"validate", "[--config FILE...] [--ckpt-path PATH|best|last] [--SETTING=VALUE ...]",
     "measure on validation data"},
    {"test", "[--config FILE...] [--ckpt-path PATH|best|last] [--SETTING=VALUE ...]",
     "measure on test data"},
    {"predict",
     "[--config FILE...] [--ckpt-path PATH|best|last] [--SETTING=VALUE ...] [--output FILE]",
     "write what the model predicts: a .npz, a .csv, or a .npy of one array"},
    {"list",
     "[models|datamodules|callbacks|loggers|optimizers|schedulers|metrics|transforms|"
     "compressions|averagings]",
     "name the classes a configuration can use"},
    {"help", "[CLASS|trainer|COMMAND ...]", "explain the settings of classes or of the trainer"},
    {"convert", "INPUT... --output FOLDER [--rows-per-shard N] [--targets FILE ...]",
     "write .npy, CSV, libsvm or IDX files as shards to stream from"},
    {"export", "CHECKPOINT --output FILE [--format pt|ckpt|safetensors|onnx]",
     "write a trained model for PyTorch, Lightning or ONNX"},
    {"new", "project|model|datamodule|callback NAME [--output FOLDER]",
     "write a project, or a class and its test, to begin with"},
    plot_command(),
    report_command(),
    {"schema", "> levin.schema.json",
     "print the JSON schema of configuration files, with which editors check and complete them"},
    {"completion", "bash|zsh|fish", "print a script with which a shell completes commands"},
    {"runs", "[FOLDER] [--metric NAME ...] [--json]",
     "compare past runs: their models, best metrics, and the settings in which they differ"},
};

constexpr const char* kJobOptions = R"(
options:
  -c, --config FILE    YAML; given several times, later files win
  --SETTING=VALUE      one setting, named as it stands in the YAML:
                         --trainer.max_epochs=5
                         --model MLP --model.hidden_sizes=[32,16]
                         --optimizer Adam --optimizer.learning_rate=0.01
                         --trainer.callbacks+=EarlyStopping --trainer.callbacks.monitor=val_loss
  --links.TARGET=SOURCE
                       TARGET takes the value of SOURCE, another setting:
                         --links.lr_scheduler.T_max=trainer.max_epochs
  --ckpt-path PATH     a checkpoint: fit goes on from it, the others use its weights; "last"
                       and "best" are those of the newest run that has checkpoints. No model
                       is needed: the checkpoint says which it is of, and with which settings;
                       --model.SETTING, --data.SETTING and settings in files change some of
                       those that the checkpoint has. With a model, PATH may be weights of
                       PyTorch or Lightning, but not for fit
  --plugin LIBRARY.so  a shared library of classes of your own, which every command then
                       knows; may come several times. `plugins:` in a YAML file does the
                       same. `levin new project` writes one
  --json               print the final metrics as a JSON object, the last line of stdout
  --print-config       print every setting with its value and meaning, and stop

environment: variables are settings, too. Files and options of the command line win over them.
  LEVIN_CONFIG=FILE    YAML, or several files: [a.yaml, b.yaml]
  LEVIN_TRAINER__MAX_EPOCHS=5
                       one setting, in capitals, with two underscores for a dot; it wins over
                       the file of LEVIN_CONFIG. LEVIN_FIT__... counts for `fit` alone
  LEVIN_PLUGIN=LIBRARY.so
                       plugins, with colons between them, before those of --plugin
)";

constexpr const char* kPredictOptions =
    R"(  -o, --output FILE    .npz, .csv (with the names of the classes, if the checkpoint knows
                       them) or .npy; default: predictions.npz in a new run folder

from a checkpoint alone, for rows in a file:
  --ckpt-path best.ckpt --data ArrayDataModule --data.x=rows.csv --data.target_column=none
)";

constexpr const char* kRunsOptions = R"(
options:
  --metric NAME        show the best value of this metric, and the best run first; losses and
                       errors (by their names) are best if they are low
  --json               print the runs as a JSON object, with all metrics

FOLDER is the default_root_dir of the runs, by default the current folder.
)";

constexpr const char* kSchemaUse = R"(
In the first line of a YAML file, for editors with the YAML language server:
  # yaml-language-server: $schema=levin.schema.json
)";

constexpr const char* kCompletionUse = R"(
  bash   source <(levin completion bash)     in ~/.bashrc
  zsh    source <(levin completion zsh)      in ~/.zshrc, after compinit
  fish   levin completion fish | source      in ~/.config/fish/config.fish
)";

constexpr const char* kExitStatus = R"(
exit status: 0 done, 1 failed, 2 wrong usage or configuration, 130 ended by a signal: fit
has saved a checkpoint to go on from, unless trainer.fast_dev_run is set
)";

bool runs_a_job(std::string_view command) {
  return command == "fit" || command == "validate" || command == "test" || command == "predict";
}

/// One of the registry's lists in a form that doesn't depend on the type of its classes.
struct Kind {
  std::string name;
  /// Each class's name and one line about it.
  std::vector<std::pair<std::string, std::string>> classes;
  std::function<Fields(std::string_view, std::shared_ptr<void>&)> fields;
};

template <class List>
Kind kind(std::string name, const List& list) {
  Kind result{std::move(name), {}, {}};
  for (const auto& entry : list.entries()) result.classes.emplace_back(entry.name, entry.help);
  result.fields = [list](std::string_view class_name, std::shared_ptr<void>& options) {
    auto draft = list.find(class_name)->draft();
    options = std::move(draft.options);
    return std::move(draft.fields);
  };
  return result;
}

std::vector<Kind> kinds_of(const Registry& registry) {
  return {kind("models", registry.models),
          kind("datamodules", registry.datamodules),
          kind("callbacks", registry.callbacks),
          kind("loggers", registry.loggers),
          kind("optimizers", registry.optimizers),
          kind("schedulers", registry.schedulers),
          kind("metrics", known_metrics()),
          kind("transforms", known_transforms()),
          kind("compressions", shipped_gradient_compressions()),
          kind("averagings", shipped_model_averagings())};
}

std::string trainer_help(const Registry& registry) {
  TrainerOptions options;
  Fields fields = describe(options);
  bool on = true;
  for (const auto& each : registry.default_callbacks) {
    fields.push_back({each.option, &on, each.help});
  }
  return "trainer: how to train\n\n" + settings_table(fields) +
         "  callbacks, logger: lists of classes; see `list callbacks`, `list loggers`\n";
}

std::string described_command_help(std::string_view program, const Command& command) {
  std::string text =
      fmt::format("usage: {} {} {}\n\n{}\n", program, command.name, command.usage, command.help);
  if (command.with_options) {
    command.with_options([&](Fields fields) {
      for (auto& field : fields) field.name = "--" + option_name(field.name);
      text += "\noptions:\n" + settings_table(fields);
    });
  }
  text += command.notes;
  return text.ends_with('\n') ? text : text + '\n';
}

}  // namespace

const Commands& commands() { return kCommands; }

const Command* command_with_run(std::string_view name, const Commands& more) {
  for (const auto* list : {&more, &kCommands}) {
    for (const auto& each : *list) {
      if (each.name == name && each.run) return &each;
    }
  }
  return nullptr;
}

std::string settings_table(const Fields& fields) {
  std::vector<std::string> left;
  size_t width = 0;
  for (const auto& field : fields) {
    std::string value = field.get().to_yaml();  // ends in a line feed
    value.pop_back();
    left.push_back(fmt::format("{}: {} = {}", field.name, field.type_name(), value));
    if (left.back().size() <= 48) width = std::max(width, left.back().size());
  }
  std::string table;
  for (size_t i = 0; i < fields.size(); ++i) {
    if (left[i].size() > width) left[i] += "\n" + std::string(width + 2, ' ');
    table += fmt::format("  {:<{}}  {}\n", left[i], width, fields[i].help);
  }
  return table;
}

std::string general_help(std::string_view program, const Commands& more) {
  std::string text = fmt::format("usage: {} COMMAND ...\n\ncommands:\n", program);
  for (const auto* list : {&kCommands, &more}) {
    for (const auto& command : *list) {
      text += fmt::format("  {:<11} {}\n", command.name, command.help);
    }
  }
  return text +
         fmt::format(
             "\n{} COMMAND --help says more; --version says which Levin this is.\n"
             "Every command takes --plugin LIBRARY.so, which adds classes of your own.\n",
             program) +
         kExitStatus;
}

std::string command_help(std::string_view program, std::string_view command, const Commands& more) {
  std::vector<std::string> known;
  for (const auto& each : more) {
    if (each.name == command) return described_command_help(program, each);
  }
  for (const auto& each : kCommands) {
    known.push_back(each.name);
    if (each.name != command) continue;
    if (each.run) return described_command_help(program, each);
    std::string text =
        fmt::format("usage: {} {} {}\n\n{}\n", program, each.name, each.usage, each.help);
    if (command == "convert") return text + convert_options_help();
    if (command == "export") return text + export_options_help();
    if (command == "new") return text + new_files_help();
    if (command == "runs") return text + kRunsOptions;
    if (command == "schema") return text + kSchemaUse;
    if (command == "completion") return text + kCompletionUse;
    if (!runs_a_job(command)) return text;
    text += kJobOptions;
    if (command == "predict") text += kPredictOptions;
    return text +
           fmt::format(
               "\n`{0} help trainer` and `{0} help CLASS` explain settings, "
               "`{0} list` names classes.\n",
               program) +
           kExitStatus;
  }
  for (const auto& each : more) known.push_back(each.name);
  throw ConfigError::unknown_name("command", command, known);
}

std::string settings_help(const Registry& registry, std::string_view name) {
  if (name == "trainer") return trainer_help(registry);
  std::vector<std::string> known = {"trainer"};
  for (const auto& each : kinds_of(registry)) {
    for (const auto& [class_name, help] : each.classes) {
      known.push_back(class_name);
      if (class_name != name && class_name != short_class_name(name)) continue;
      std::shared_ptr<void> options;
      const Fields fields = each.fields(class_name, options);
      return fmt::format("{}: {}\n\n{}", class_name, help,
                         fields.empty() ? "  it has no settings\n" : settings_table(fields));
    }
  }
  throw ConfigError::unknown_name("class", name, known);
}

std::string class_list(const Registry& registry, std::string_view wanted) {
  std::string text;
  std::vector<std::string> known;
  for (const auto& each : kinds_of(registry)) {
    known.push_back(each.name);
    if (!wanted.empty() && each.name != wanted) continue;
    size_t width = 0;
    for (const auto& item : each.classes) width = std::max(width, item.first.size());
    if (wanted.empty()) text += fmt::format("{}{}\n", text.empty() ? "" : "\n", each.name);
    for (const auto& [name, help] : each.classes) {
      text += fmt::format("  {:<{}}  {}\n", name, width, help);
    }
  }
  if (text.empty()) throw ConfigError::unknown_name("kind", wanted, known);
  return text;
}

std::vector<std::string> class_kinds(const Registry& registry) {
  std::vector<std::string> names;
  for (const auto& each : kinds_of(registry)) names.push_back(each.name);
  return names;
}

std::vector<std::string> documented_names(const Registry& registry) {
  std::vector<std::string> names = {"trainer"};
  for (const auto& each : kinds_of(registry)) {
    for (const auto& [name, help] : each.classes) names.push_back(name);
  }
  return names;
}

}  // namespace levin
