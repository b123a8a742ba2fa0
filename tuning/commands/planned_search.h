#pragma once

#include <string>
#include <utility>
#include <vector>

#include <levin/cli/arguments.h>
#include <levin/framework/config/merge.h>
#include <levin/framework/config/registry.h>
#include <levin/framework/core/options.h>
#include <levin/tuning/trials/search_plan.h>

namespace levin {

/// The files that a command writes about a study; empty paths are left out.
struct ReportFiles {
  /// A page with everything (see study_page).
  std::string html{};
  /// A folder for the plots (see study_plots.h): history.svg, importance.svg, slices.svg and
  /// parallel.svg.
  std::string plots{};
};

/// The fields of these, for the options of a command.
Fields report_fields(ReportFiles& report);

/// Writes the files. Throws CheckpointError if one can't be written.
void write_report(const Study& study, const ReportFiles& report);

/// Takes the settings that change the configuration, such as "trainer.max_epochs", out of those
/// that are options of the command, and returns them as they were written.
std::vector<std::pair<std::string, std::string>> take_configuration_settings(Arguments& arguments);

/// Throws ConfigError if words were given, which a search doesn't take.
void refuse_words(const Arguments& arguments);

/// The configuration that the files, the environment and these settings give.
ConfigNode base_configuration(const Arguments& arguments, const std::vector<Override>& overrides,
                              const Registry& registry);

/// Runs a search in this process or in worker processes, prints each trial that ends and a table of
/// all, and writes the report and, to `arguments.output`, the best configuration. In a worker
/// process, runs the trials of its search instead. Returns the exit status. Throws what `tune`
/// throws before the first trial.
int run_planned_search(const SearchPlan& plan, const Registry& registry, const Arguments& arguments,
                       const ReportFiles& report);

/// Writes the configuration of a study's best trial to a file, as the folder that the trial has
/// left says it. Throws Error if no trial is complete or the folder has no configuration.
void write_recorded_best(const Study& study, const Registry& registry, const std::string& output);

}  // namespace levin
