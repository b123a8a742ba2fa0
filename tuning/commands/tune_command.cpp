#include <levin/tuning/commands/tune_command.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <levin/cli/arguments.h>
#include <levin/cli/exit_status.h>
#include <levin/cli/output.h>
#include <levin/framework/config/yaml.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/near_files.h>
#include <levin/tuning/commands/planned_search.h>
#include <levin/tuning/report/study_report.h>
#include <levin/tuning/sqlite/optuna_database.h>
#include <levin/tuning/study/study_file.h>
#include <levin/tuning/trials/search_plan.h>

namespace levin {
namespace {

constexpr const char* kTuneNotes = R"(
  levin tune --config digits.yaml --search space.yaml --metric val_loss --trials 50 --workers 4
  levin tune show study.log --html report.html
  levin tune export study.log study.db

The file of --search names ranges of settings:

  model.learning_rate: {low: 1.0e-4, high: 0.1, log: true}
  model.hidden_sizes: [[16], [32], [64, 64]]
  data.batch_size: {low: 16, high: 256, step: 16}

--metric NAME, such as val_loss, says what is best; several of them have a Pareto front.
Settings such as --trainer.max_epochs=5 change the configuration of all trials. A study that exists
is continued: --trials counts those that it has. Optuna and optuna-dashboard read and continue the
same file. `levin tune show` prints the trials. With --output FILE, both commands write the best
configuration as YAML. `export` and `import` copy studies to and from Optuna's SQLite databases.
)";

/// The options of `levin tune`: what the search is made from, and how it is done.
struct TuneCommandOptions {
  std::string search{};
  ReportFiles report{};
  TuneOptions tune{};
};

Fields describe_tune_command(TuneCommandOptions& o) {
  Fields fields = {{"search", &o.search, "a YAML file with the ranges of settings"}};
  for (auto& field : report_fields(o.report)) fields.push_back(std::move(field));
  for (auto& field : describe(o.tune)) {
    if (field.name != "metric") fields.push_back(std::move(field));  // commands share it
  }
  return fields;
}

int run_tune(Arguments arguments, const Registry& registry) {
  const auto settings = take_configuration_settings(arguments);
  std::vector<Override> overrides;
  for (const auto& [name, word] : settings) {
    overrides.push_back({name, parse_argument(word), false});
  }
  TuneCommandOptions options;
  set_options(describe_tune_command(options), arguments);
  options.tune.metric = arguments.metrics;
  refuse_words(arguments);
  if (options.search.empty()) {
    throw ConfigError::conflict("no search space is given", "give --search FILE");
  }
  const SearchPlan plan = plan_search(base_configuration(arguments, overrides, registry),
                                      read_search_space(options.search), options.tune);
  return run_planned_search(plan, registry, arguments, options.report);
}

void require_file(const std::string& path) {
  if (files::exists(path)) return;
  throw ConfigError(fmt::format("{}: there is no such file{}", path, missing_file_hint(path)));
}

const Study& study_to_show(const StudyFile& file, const std::string& name) {
  const auto studies = file.contents().studies();
  std::vector<std::string> names;
  for (const Study* each : studies) {
    if (each->name == name) return *each;
    names.push_back(each->name);
  }
  if (studies.size() == 1 && name.empty()) return *studies.front();
  if (name.empty()) {
    throw ConfigError::conflict(fmt::format("the file has {} studies", studies.size()),
                                "name one of them: --name NAME");
  }
  throw ConfigError::unknown_name("study", name, names, "--name");
}

/// The two files of `tune export` or `tune import`.
std::pair<std::string, std::string> two_files(const Arguments& arguments, const char* example) {
  if (arguments.words.size() != 3) {
    throw ConfigError(fmt::format("levin tune {} takes two files, such as `levin tune {}`",
                                  arguments.words.front(), example));
  }
  require_file(arguments.words[1]);
  return {arguments.words[1], arguments.words[2]};
}

int export_study(const Arguments& arguments) {
  const auto [from, to] = two_files(arguments, "export study.log study.db");
  TuneCommandOptions options;
  options.tune.name.clear();
  set_options(describe_tune_command(options), arguments);
  const StudyFile file(from);
  const bool has_name = !options.tune.name.empty();
  write_optuna_database(
      has_name ? std::vector{&study_to_show(file, options.tune.name)} : file.contents().studies(),
      to);
  return kDone;
}

int import_studies(const Arguments& arguments) {
  const auto [from, to] = two_files(arguments, "import study.db study.log");
  const auto studies = read_optuna_database(from);
  StudyFile file(to);
  for (const Study& study : studies) file.add_study(study);
  return kDone;
}

int show_study(const Arguments& arguments, const Registry& registry) {
  if (arguments.words.size() != 2) {
    throw ConfigError("levin tune show takes one study file, such as `levin tune show study.log`");
  }
  TuneCommandOptions options;
  options.tune.name.clear();
  set_options(describe_tune_command(options), arguments);
  require_file(arguments.words[1]);
  const StudyFile file(arguments.words[1]);
  const Study& study = study_to_show(file, options.tune.name);
  write_output(arguments.json ? study_summary(study).to_json() + "\n" : study_table(study));
  write_report(study, options.report);
  if (!arguments.output.empty()) write_recorded_best(study, registry, arguments.output);
  return kDone;
}

}  // namespace

Command tune_command() {
  return {
      .name = "tune",
      .usage = "[show STUDY | export STUDY DATABASE | import DATABASE STUDY]",
      .help = "search for the settings with the best metric",
      .run =
          [](const Arguments& arguments, const Registry& registry) {
            const auto& words = arguments.words;
            const std::string verb = words.empty() ? "" : words.front();
            if (verb == "show") return show_study(arguments, registry);
            if (verb == "export") return export_study(arguments);
            if (verb == "import") return import_studies(arguments);
            if (!verb.empty()) {
              throw ConfigError::unknown_name("verb", verb, {"show", "export", "import"}, "tune");
            }
            return run_tune(arguments, registry);
          },
      .with_options =
          [](const std::function<void(const Fields&)>& take) {
            TuneCommandOptions options;
            take(describe_tune_command(options));
          },
      .shared_options = {"config", "json", "metric", "output"},
      .notes = kTuneNotes,
  };
}

}  // namespace levin
