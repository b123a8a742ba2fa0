#include <levin/tuning/commands/planned_search.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include <fmt/format.h>

#include <levin/cli/environment.h>
#include <levin/cli/exit_status.h>
#include <levin/cli/find_checkpoint.h>
#include <levin/cli/output.h>
#include <levin/framework/config/job.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/home.h>
#include <levin/framework/core/repeated_warnings.h>
#include <levin/tuning/commands/worker_processes.h>
#include <levin/tuning/report/study_page.h>
#include <levin/tuning/report/study_plots.h>
#include <levin/tuning/report/study_report.h>
#include <levin/tuning/trials/run_trial.h>
#include <levin/tuning/trials/tune.h>

namespace levin {
namespace {

/// Writes the best trial's configuration, checked and with all settings, if a file is wanted.
void write_best(const TuneResult& result, const Registry& registry, const std::string& output) {
  if (output.empty()) return;
  if (!result.best) throw Error("no trial is complete, so there is no best configuration");
  const Job job = read_job(registry, result.best_config);
  files::write_atomically(output, to_yaml(job, registry, /*comments=*/false));
  diagnostics::print(fmt::format("best configuration: {}\n", output));
}

void print_best(const TuneResult& result) {
  std::string values;
  for (size_t i = 0; i < result.best->values.size(); ++i) {
    values +=
        fmt::format(", {} = {:.6g}", objective_names(result.study)[i], result.best->values[i]);
  }
  diagnostics::print(fmt::format("best: trial {}{}\n", result.best->number, values));
  const auto checkpoint = checkpoint_of(*result.best);
  if (!checkpoint.empty()) {
    diagnostics::print(fmt::format("its last checkpoint: {}\n", checkpoint.string()));
  }
}

int finish_search(const TuneResult& result, const Registry& registry, const Arguments& arguments,
                  const ReportFiles& report) {
  diagnostics::print(study_table(result.study));
  if (result.best) print_best(result);
  if (arguments.json) write_output(study_summary(result.study).to_json() + "\n");
  write_report(result.study, report);
  if (result.interrupted) return kInterrupted;
  const bool any_runs =
      std::any_of(result.study.trials.begin(), result.study.trials.end(),
                  [](const Trial& trial) { return trial.state == TrialState::running; });
  if (!result.best && any_runs && arguments.output.empty()) {
    diagnostics::print(
        "no trial is complete yet, but other processes still run some; levin tune show prints what "
        "they find\n");
    return kDone;
  }
  if (!result.best) {
    diagnostics::print("error: no trial is complete\n");
    return kFailed;
  }
  write_best(result, registry, arguments.output);
  return kDone;
}

void print_trial(const Study& study, const Trial& trial) {
  diagnostics::print(trial_line(study, trial) + "\n");
}

}  // namespace

Fields report_fields(ReportFiles& report) {
  return {{"html", &report.html, "a file for a page with plots and tables of the trials"},
          {"plots", &report.plots, "a folder for the plots as SVG files"}};
}

void write_report(const Study& study, const ReportFiles& report) {
  if (!report.html.empty()) {
    files::write_atomically(expand_home(report.html, "--html"), study_page(study));
  }
  if (report.plots.empty()) return;
  const std::filesystem::path folder = expand_home(report.plots, "--plots");
  files::create_folder(folder);
  files::write_atomically(folder / "history.svg", draw_history(study));
  files::write_atomically(folder / "importance.svg", draw_importances(study));
  files::write_atomically(folder / "slices.svg", draw_slices(study));
  files::write_atomically(folder / "parallel.svg", draw_parallel_coordinates(study));
}

std::vector<std::pair<std::string, std::string>> take_configuration_settings(Arguments& arguments) {
  std::vector<std::pair<std::string, std::string>> settings;
  std::vector<std::pair<std::string, std::string>> options;
  const auto& parts = configuration_parts();
  for (auto& setting : arguments.settings) {
    const std::string part = setting.first.substr(0, setting.first.find('.'));
    const bool is_part = std::find(parts.begin(), parts.end(), part) != parts.end();
    (is_part ? settings : options).push_back(std::move(setting));
  }
  arguments.settings = std::move(options);
  return settings;
}

void refuse_words(const Arguments& arguments) {
  if (arguments.words.empty()) return;
  throw ConfigError(fmt::format("unexpected word '{}'; see {} {} --help", arguments.words.front(),
                                arguments.program, arguments.command));
}

ConfigNode base_configuration(const Arguments& arguments, const std::vector<Override>& overrides,
                              const Registry& registry) {
  const auto environment = read_environment("fit", environment_of_process(), registry);
  return read_configuration(arguments.configs, overrides,
                            read_configuration(environment.configs, environment.overrides));
}

int run_planned_search(const SearchPlan& plan, const Registry& registry, const Arguments& arguments,
                       const ReportFiles& report) {
  if (is_tune_worker()) return work_for_search(plan, registry);
  const RepeatedWarningsAreLeftOut warnings;
  if (arguments.json) require_output();
  std::optional<StudyFile> file;
  const int64_t study = open_checked_study(plan, registry, file);
  if (plan.options.workers == 1) {
    const TuneResult result = run_search(plan, registry, *file, study, print_trial);
    return finish_search(result, registry, arguments, report);
  }
  const bool is_done = search_with_workers(plan, *file, study, print_trial);
  TuneResult result = result_of(plan, *file->contents().study(study));
  result.interrupted = !is_done;
  return finish_search(result, registry, arguments, report);
}

void write_recorded_best(const Study& study, const Registry& registry, const std::string& output) {
  const Trial* const best = study.best_trial();
  if (best == nullptr) throw Error("no trial is complete, so there is no best configuration");
  for (const auto& run : run_folders(folder_of(*best) / "levin_logs")) {
    if (!files::exists(run / "config.yaml")) continue;
    Job job = read_job(registry, read_configuration({(run / "config.yaml").string()}, {}));
    job.ckpt_path.clear();  // these two are the trial's own
    job.trainer->default_root_dir = TrainerOptions().default_root_dir;
    files::write_atomically(output, to_yaml(job, registry, /*comments=*/false));
    return;
  }
  throw Error(fmt::format(
      "trial {} has left no config.yaml in '{}'; run `levin tune` with the same options as before "
      "and --output",
      best->number, folder_of(*best).string()));
}

}  // namespace levin
