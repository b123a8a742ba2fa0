#include <levin/tuning/trials/tune.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/files.h>
#include <levin/framework/core/repeated_warnings.h>
#include <levin/tuning/samplers/pareto_front.h>
#include <levin/tuning/trials/run_trial.h>
#include <levin/tuning/trials/search_checks.h>
#include <levin/tuning/trials/trial_queue.h>

namespace levin {
namespace {

bool has_complete_trial(const Study* study) {
  return study != nullptr &&
         std::any_of(study->trials.begin(), study->trials.end(),
                     [](const Trial& trial) { return trial.state == TrialState::complete; });
}

/// Lets the many small records of trials that are trained at once wait for the disk together.
class SyncedSeldom {
 public:
  SyncedSeldom(StudyFile& file, bool is_wanted) : file_(is_wanted ? &file : nullptr) {
    if (file_ != nullptr) file_->set_sync_interval(kSecondsBetweenSyncs);
  }
  ~SyncedSeldom() {
    try {
      if (file_ != nullptr) file_->set_sync_interval(0.0);
    } catch (const std::exception& error) {
      diagnostics::print(fmt::format("{}\n", error.what()));
    }
  }
  SyncedSeldom(const SyncedSeldom&) = delete;
  SyncedSeldom& operator=(const SyncedSeldom&) = delete;

 private:
  static constexpr double kSecondsBetweenSyncs = 1.0;
  StudyFile* file_;
};

}  // namespace

int64_t open_checked_study(const SearchPlan& plan, const Registry& registry,
                           std::optional<StudyFile>& file) {
  const RepeatedWarningsAreLeftOut warnings;
  check_settings(plan, registry);
  if (files::exists(plan.options.study)) file.emplace(plan.options.study);
  if (!file || !has_complete_trial(file->contents().study(plan.options.name))) {
    check_metrics(plan, registry);
  }
  if (!file) file.emplace(plan.options.study);
  const int64_t study = file->open_study(plan.options.name, plan.directions);
  Value::Array names(plan.options.metric.begin(), plan.options.metric.end());
  if (file->contents().study(study)->system_attributes.count("study:metric_names") == 0) {
    file->set_study_system_attribute(study, "study:metric_names", names);
  }
  return study;
}

TuneResult result_of(const SearchPlan& plan, const Study& study) {
  TuneResult result;
  result.study = study;
  const auto front = pareto_front(study);
  if (front.empty()) return result;
  result.best = *front.front();
  result.best_config = configuration_of(plan, result.best->parameters);
  return result;
}

TuneResult run_search(const SearchPlan& plan, const Registry& registry, StudyFile& file,
                      int64_t study,
                      const std::function<void(const Study&, const Trial&)>& on_trial) {
  const RepeatedWarningsAreLeftOut warnings;
  recover_trials(file, study);
  const SyncedSeldom synced(file, plan.options.batch > 1);
  const double start = files::monotonic_seconds();
  bool interrupted = false;
  bool is_over = false;
  while (!interrupted) {
    const double seconds = files::monotonic_seconds() - start;
    if (plan.options.time > 0 && seconds >= plan.options.time) break;
    const auto trials = next_trials(plan, file, study);
    if (trials.empty()) {
      is_over = waiting_count(plan, *file.contents().study(study)) == 0 ||
                is_epoch_budget_spent(plan, *file.contents().study(study));
      if (is_over) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));  // other processes run trials
      recover_trials(file, study);
      continue;
    }
    const auto states = run_trials(plan, registry, file, trials);
    if (plan.options.batch > 1) file.sync();
    for (size_t i = 0; i < trials.size(); ++i) {
      interrupted = interrupted || !states[i];
      if (on_trial && states[i] && is_finished(*states[i])) {
        on_trial(*file.contents().study(study), *file.contents().trial(trials[i]));
      }
    }
  }
  if (is_over && !is_epoch_budget_spent(plan, *file.contents().study(study))) {
    end_paused_trials(plan, file, study);
  }
  TuneResult result = result_of(plan, *file.contents().study(study));
  result.interrupted = interrupted;
  return result;
}

TuneResult tune(const Registry& registry, ConfigNode base, SearchSpace space, TuneOptions options,
                const std::function<void(const Study&, const Trial&)>& on_trial) {
  const RepeatedWarningsAreLeftOut warnings;
  const SearchPlan plan = plan_search(std::move(base), std::move(space), std::move(options));
  std::optional<StudyFile> file;
  const int64_t study = open_checked_study(plan, registry, file);
  return run_search(plan, registry, *file, study, on_trial);
}

}  // namespace levin
