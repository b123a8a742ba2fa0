#pragma once

#include <functional>
#include <optional>

#include <levin/framework/config/registry.h>
#include <levin/tuning/study/study_file.h>
#include <levin/tuning/trials/search_plan.h>

namespace levin {

/// What a search found.
struct TuneResult {
  /// The study as it is at the end, with all its trials.
  Study study{};
  /// The complete trial with the best value; of several metrics, the first one of the Pareto front.
  /// Nothing if no trial is complete.
  std::optional<Trial> best{};
  /// The configuration of that trial.
  ConfigNode best_config{};
  /// Whether a signal ended the search.
  bool interrupted = false;
};

/// Searches for settings, one trial after another in this process, until the budget is spent. A
/// study that exists is continued.
///
///     auto space = levin::SearchSpace::from_value(levin::Value::Object{
///         {"model.learning_rate",
///          levin::Value::Object{{"low", 1e-4}, {"high", 0.1}, {"log", true}}}});
///     const auto result =
///         levin::tune(levin::shipped_classes(), levin::read_configuration({"digits.yaml"}, {}),
///                     std::move(space), {.metric = {"val_loss"}, .trials = 20});
///     result.best->values[0];
///
/// `on_trial` is called with each trial that has ended. Throws, before the first trial,
/// ConfigError as plan_search, check_settings and check_metrics do; and what StudyFile throws.
/// Trials that fail are recorded, and the search goes on.
TuneResult tune(const Registry& registry, ConfigNode base, SearchSpace space, TuneOptions options,
                const std::function<void(const Study&, const Trial&)>& on_trial = {});

/// The same for a search that is already planned and checked, on a study that is open.
TuneResult run_search(const SearchPlan& plan, const Registry& registry, StudyFile& file,
                      int64_t study,
                      const std::function<void(const Study&, const Trial&)>& on_trial = {});

/// Opens the plan's study, which is created if it isn't there. Checks settings, and, unless a trial
/// of the study is complete, the metrics, before the file is made. Throws as `tune` does.
int64_t open_checked_study(const SearchPlan& plan, const Registry& registry,
                           std::optional<StudyFile>& file);

/// The result of a study as it is now.
TuneResult result_of(const SearchPlan& plan, const Study& study);

}  // namespace levin
