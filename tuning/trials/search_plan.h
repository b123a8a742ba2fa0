#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <levin/framework/config/job.h>
#include <levin/framework/config/registry.h>
#include <levin/framework/core/options.h>
#include <levin/tuning/samplers/searcher.h>
#include <levin/tuning/schedulers/asha.h>
#include <levin/tuning/schedulers/pruner.h>
#include <levin/tuning/space/search_space.h>
#include <levin/tuning/study/trial.h>

namespace levin {

/// The options of a search, those of `levin tune` as well.
struct TuneOptions {
  /// The metrics to optimise; several: the Pareto front. At least one.
  std::vector<std::string> metric{};
  /// "min" or "max" for each metric; empty: as the metrics' names say (losses and errors are to be
  /// small).
  std::vector<std::string> direction{};
  /// The study file, which is made if it is missing; its folder must exist.
  std::string study = "study.log";
  /// The name of the study in its file.
  std::string name = "levin";
  /// How many trials the study shall have in all, those that it already has included; 0: all
  /// combinations of a grid, and no limit with `time`.
  int64_t trials = 0;
  /// Seconds after which no trial is started any longer; 0: no limit.
  double time = 0.0;
  /// How many epochs all trials may train together; 0: no limit. A trial that runs is finished.
  int64_t epochs = 0;
  /// How parameters are chosen: "random", "grid", "sobol", "tpe", "cmaes", "population" (population
  /// based training) or "halving" (scikit-learn's halving search; see HalvingSearcher).
  std::string sampler = "tpe";
  /// Which trials are ended early: "none", "median", "halving" (successive halving), "hyperband",
  /// the rules of Optuna's pruners, or "asha", by which trials pause and may go on later.
  std::string pruner = "none";
  /// The epochs that a trial trains at least. Of asha and both kinds of halving, those of the first
  /// rung; 0: 1, and for the sampler halving as many as let the last stage train max_epochs.
  int64_t min_epochs = 0;
  /// Of halving, hyperband and asha: the best 1 / reduction_factor of the trials go on. 0: 4, and 3
  /// for hyperband and the sampler halving.
  int64_t reduction_factor = 0;
  /// Of the sampler population: how many members it has, and the epochs between two comparisons.
  int64_t population = 8;
  int64_t interval = 1;
  /// Of the sampler halving: with how many random trials it begins; 0: all combinations of a grid.
  int64_t candidates = 0;
  /// Which epoch gives the value of a trial: "last" or "best".
  std::string value = "last";
  int64_t seed = 0;
  /// Of tpe: above 0, a trial knows the results of the trials up to `lag` before it alone, so that
  /// the study is the same for any number of workers up to `lag`.
  int64_t lag = 0;
  /// How many processes run trials side by side.
  int64_t workers = 1;
  /// How many trials are trained at once as one batched model, in this process, if the space has
  /// nothing but learning rates, penalties and weight decays of models that can be
  /// (BatchedSession). Each is a trial of its own, with the values that it has alone up to
  /// rounding. 1: one by one.
  int64_t batch = 1;
  /// Seconds after which a trial's process is killed; 0: never. Needs processes.
  double trial_timeout = 0.0;
  /// The GPUs that workers use, by their numbers or UUIDs: each worker sees one of them, in turn.
  /// Empty: all workers see all of them.
  std::vector<std::string> gpus{};
  /// How many values a grid tries of a range of floats without steps.
  int64_t grid_points = 0;
};

/// The options' names and meanings.
Fields describe(TuneOptions& o);

/// A search as it is set up: what each trial is made from, and who decides on it.
struct SearchPlan {
  TuneOptions options{};
  /// The configuration that trials change.
  ConfigNode base{};
  SearchSpace space{};
  std::vector<StudyDirection> directions{};
  std::unique_ptr<Searcher> searcher{};
  /// Null: no trial is stopped early.
  std::unique_ptr<Pruner> pruner{};
  /// Nothing: no trial is paused.
  std::optional<Asha> asha{};
};

/// Reads a file that describes a search space. Throws ConfigError, with file and line, as
/// SearchSpace::from_value and read_yaml do.
SearchSpace read_search_space(const std::filesystem::path& path);

/// Checks options and space against each other. Throws ConfigError for an option out of its range,
/// an unknown name of a sampler or pruner (proposing the nearest one), a search without an end, and
/// what doesn't go together, such as a pruner and several metrics.
SearchPlan plan_search(ConfigNode base, SearchSpace space, TuneOptions options);

/// The configuration of a trial whose parameters have these internal values.
ConfigNode configuration_of(const SearchPlan& plan, const ParameterValues& values);

}  // namespace levin
