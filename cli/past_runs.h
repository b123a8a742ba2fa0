#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <levin/cli/arguments.h>
#include <levin/framework/core/value.h>

namespace levin {

/// What a run's folder says of the run.
struct PastRun {
  std::filesystem::path folder{};
  /// When the run last wrote its settings or metrics, in seconds since 1970; 0 if it wrote neither.
  int64_t written = 0;
  /// The classes of the model and of the data; empty if no file says them.
  std::string model{};
  std::string data{};
  /// How the last fit ended, from run.json: "done", "failed", "interrupted", or "unfinished" if it
  /// is running or its process ended without saying how. Empty if no file says it.
  std::string status{};
  /// The epochs that metrics.csv has.
  int64_t epochs = 0;
  /// The metrics that metrics.csv has, also those without a value that is a number.
  std::set<std::string> metrics{};
  /// The best value of each metric and the epoch in which it came, counted from 0.
  std::map<std::string, std::pair<double, double>> best{};
  /// All settings, such as {"model.learning_rate", 0.1}, apart from paths of the run itself. Those
  /// of callbacks have the names of their classes: "trainer.callbacks.EarlyStopping.patience".
  std::map<std::string, Value> settings{};
};

/// Whether lower values of the metric are better, as its name says: of losses and errors they are.
bool lower_is_better(std::string_view metric);

/// Reads the runs under `folder`/levin_logs, or under `folder` itself, oldest first: config.yaml or
/// hparams.yaml, metrics.csv, and a checkpoint if nothing else names the model. A file that can't
/// be read is left out with a warning. Throws DataError if there is no run.
std::vector<PastRun> read_past_runs(const std::filesystem::path& folder);

/// Reads one run, given its folder.
PastRun read_past_run(const std::filesystem::path& folder);

/// What tells the runs apart, for the legend of a plot: the settings in which they differ, such as
/// "learning_rate=0.1", with the name of the run's folder in front if these aren't enough.
std::vector<std::string> run_labels(const std::vector<PastRun>& runs);

/// Returns the runs as a table: folder, date, model, the best values of `metrics`, and the settings
/// in which runs differ that have a model (a run that only tests says none). Without `metrics`, it
/// shows those of validation, or else the training loss. If not all fits are done, it says how each
/// ended.
std::string past_runs_table(const std::vector<PastRun>& runs, std::vector<std::string> metrics);

/// Runs `levin runs [FOLDER] [--metric NAME ...] [--json]`. With metrics, the run that has the best
/// value of the first one comes first. Throws what read_past_runs throws, and ConfigError for a
/// metric that no run has, naming the nearest.
int list_past_runs(const Arguments& arguments);

}  // namespace levin
