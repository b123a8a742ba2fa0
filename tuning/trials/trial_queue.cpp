#include <levin/tuning/trials/trial_queue.h>

#include <algorithm>
#include <vector>

#include <levin/framework/core/error.h>
#include <levin/tuning/schedulers/staged_searchers.h>
#include <levin/tuning/trials/run_trial.h>

namespace levin {
namespace {

/// How often a trial is tried again: after the death of its worker, and of the whole search.
constexpr size_t kMostRetries = 3;
constexpr size_t kMostRecoveries = 10;
/// Marks a trial whose process has died, as a system attribute: "worker" or "search" says what else
/// has died with it.
constexpr const char* kDiedAttribute = "levin:process_died";

bool takes_over(const Trial& trial) {
  return trial.system_attributes.count(kFailedTrialAttribute) > 0;
}

Value::Array history_of(const Trial& trial) {
  const auto history = trial.system_attributes.find("retry_history");
  if (history == trial.system_attributes.end() || !history->second.is_array()) return {};
  return history->second.as_array();
}

/// What a trial was given beforehand, and what was chosen for it.
Value parameters_of(const Trial& trial) {
  const auto given = trial.system_attributes.find("fixed_params");
  Value parameters =
      given == trial.system_attributes.end() ? Value(Value::Object{}) : given->second;
  for (const auto& [name, value] : trial.parameters) {
    parameters[name] = trial.distributions.at(name).to_external(value);
  }
  return parameters;
}

/// What a trial that takes over from a failed one has to know: its place in the search, and the
/// rungs that it has got to.
Value::Object kept_attributes(const Trial& failed) {
  Value::Object kept;
  for (const auto& [name, value] : failed.system_attributes) {
    const bool is_of_rung = name == Asha::rung_attribute || name.starts_with("completed_rung_");
    const bool is_of_stage = name == kPlaceAttribute || name == kUntilEpochAttribute ||
                             name == kIsFinalAttribute || name == kGoesOnFromAttribute;
    if (is_of_rung || is_of_stage) kept[name] = value;
  }
  return kept;
}

/// The ids of the trials that wait, the first choice first.
std::vector<int64_t> waiting_trials(const SearchPlan& plan, const Study& study) {
  std::vector<int64_t> waiting;
  if (plan.asha) {
    const auto resumed = plan.asha->next(study).resumed;
    if (resumed) waiting.push_back(study.trials[static_cast<size_t>(*resumed)].id);
  }
  for (const Trial& trial : study.trials) {
    if (trial.state != TrialState::waiting) continue;
    if (plan.asha && Asha::is_paused(trial)) continue;
    waiting.push_back(trial.id);
  }
  const bool runs = std::any_of(study.trials.begin(), study.trials.end(), [](const Trial& trial) {
    return trial.state == TrialState::running;
  });
  if (plan.asha && waiting.empty() && !runs && is_budget_spent(plan, study)) {
    const auto winner = plan.asha->winner(study);
    if (winner) waiting.push_back(study.trials[static_cast<size_t>(*winner)].id);
  }
  return waiting;
}

/// How often a trial of a dead process is tried again. One that has no checkpoint may be the trial
/// that kills its process.
size_t most_retries(const Trial& trial) {
  const auto died = trial.system_attributes.find(kDiedAttribute);
  if (died != trial.system_attributes.end() && died->second == Value("search")) {
    return kMostRecoveries;
  }
  return checkpoint_of(trial).empty() ? 1 : kMostRetries;
}

/// Queues a trial with the parameters of a failed one, unless it has been tried too often.
void queue_again(StudyFile& file, int64_t study, const Trial& failed) {
  Value::Array history = history_of(failed);
  if (history.size() >= most_retries(failed)) return;
  history.emplace_back(failed.number);
  Value::Object attributes = kept_attributes(failed);
  attributes["fixed_params"] = parameters_of(failed);
  attributes[kFailedTrialAttribute] = failed.number;
  attributes["retry_history"] = history;
  file.enqueue_trial(study, attributes);
}

bool fail_dead_trial(StudyFile& file, int64_t trial, const std::string& reason,
                     const std::string& died) {
  try {
    file.update(trial, {.system_attributes = {{kDiedAttribute, died}}});
  } catch (const ConfigError&) {  // another process was faster
    return false;
  }
  return fail_trial(file, trial, reason);
}

/// Whether another trial, which was queued earlier, takes over from the same failed one: two
/// searches have seen at the same time that its process had died.
bool is_queued_twice(const Study& study, const Trial& trial) {
  const auto failed = trial.system_attributes.find(kFailedTrialAttribute);
  if (failed == trial.system_attributes.end()) return false;
  const auto end = study.trials.begin() + trial.number;
  return std::any_of(study.trials.begin(), end, [&](const Trial& earlier) {
    const auto same = earlier.system_attributes.find(kFailedTrialAttribute);
    return same != earlier.system_attributes.end() && same->second == failed->second;
  });
}

/// The failed trials of dead processes that no other trial takes over from: those of a search that
/// was killed before it queued one.
std::vector<Trial> trials_without_successor(const Study& study) {
  std::vector<bool> has_successor(study.trials.size());
  for (const Trial& trial : study.trials) {
    if (const Trial* const before = predecessor_of(study, trial)) {
      has_successor[static_cast<size_t>(before->number)] = true;
    }
  }
  std::vector<Trial> found;
  for (const Trial& trial : study.trials) {
    const bool died = trial.system_attributes.count(kDiedAttribute) > 0;
    const bool lost = died && trial.state == TrialState::fail &&
                      !has_successor[static_cast<size_t>(trial.number)];
    if (lost) found.push_back(trial);
  }
  return found;
}

}  // namespace

const Trial* predecessor_of(const Study& study, const Trial& trial) {
  const auto number = trial.system_attributes.find(kFailedTrialAttribute);
  if (number == trial.system_attributes.end() || !number->second.is_int()) return nullptr;
  const int64_t at = number->second.as_int();
  if (at < 0 || at >= trial.number) return nullptr;
  return &study.trials[static_cast<size_t>(at)];
}

int64_t number_for_searcher(const Searcher& searcher, const Study& study, const Trial& trial) {
  if (!searcher.counts_places()) return trial.number;
  const Trial* first = &trial;
  while (const Trial* const before = predecessor_of(study, *first)) first = before;
  const auto end = study.trials.begin() + first->number;
  return first->number - std::count_if(study.trials.begin(), end, takes_over);
}

bool is_ready_to_run(const SearchPlan& plan, const StudyFile& file, int64_t id) {
  const Study& study = *file.contents().study_of_trial(id);
  const Trial& trial = *file.contents().trial(id);
  return !trial.parameters.empty() ||
         plan.searcher->is_ready(study, number_for_searcher(*plan.searcher, study, trial));
}

int64_t own_trials(const Study& study) {
  return static_cast<int64_t>(study.trials.size()) -
         std::count_if(study.trials.begin(), study.trials.end(), takes_over);
}

bool is_budget_spent(const SearchPlan& plan, const Study& study) {
  if (plan.options.trials > 0 && own_trials(study) >= plan.options.trials) return true;
  return is_epoch_budget_spent(plan, study);
}

bool is_epoch_budget_spent(const SearchPlan& plan, const Study& study) {
  if (plan.options.epochs == 0) return false;
  int64_t epochs = 0;
  for (const Trial& trial : study.trials) {
    const auto counted = trial.user_attributes.find("epochs");
    epochs += counted != trial.user_attributes.end() && counted->second.is_int()
                  ? counted->second.as_int()
                  : static_cast<int64_t>(trial.intermediate_values.size());
  }
  return epochs >= plan.options.epochs;
}

int64_t waiting_count(const SearchPlan& plan, const Study& study) {
  return static_cast<int64_t>(waiting_trials(plan, study).size());
}

std::optional<int64_t> start_waiting_trial(const SearchPlan& plan, StudyFile& file, int64_t study) {
  file.refresh();
  for (const int64_t trial : waiting_trials(plan, *file.contents().study(study))) {
    if (is_queued_twice(*file.contents().study(study), *file.contents().trial(trial))) {
      fail_trial(file, trial, "another search had queued the same trial again");
      continue;
    }
    if (is_ready_to_run(plan, file, trial) && file.start_waiting(trial)) return trial;
  }
  return std::nullopt;
}

void end_paused_trials(const SearchPlan& plan, StudyFile& file, int64_t study) {
  if (!plan.asha) return;
  file.refresh();
  std::vector<int64_t> paused;
  for (const Trial& trial : file.contents().study(study)->trials) {
    if (trial.state == TrialState::running) return;
    if (Asha::is_paused(trial)) paused.push_back(trial.id);
  }
  for (const int64_t trial : paused) file.finish(trial, TrialState::pruned);
}

std::optional<int64_t> next_trial(const SearchPlan& plan, StudyFile& file, int64_t study) {
  if (is_epoch_budget_spent(plan, *file.contents().study(study))) return std::nullopt;
  if (const auto waiting = start_waiting_trial(plan, file, study)) return waiting;
  const auto is_wanted = [&](const Study& current) {
    return !is_budget_spent(plan, current) && waiting_count(plan, current) == 0;
  };
  if (!is_wanted(*file.contents().study(study))) return std::nullopt;
  const auto created = file.create_trial_if(study, is_wanted);
  if (!created || is_ready_to_run(plan, file, *created)) return created;
  file.pause(*created);
  return std::nullopt;
}

std::vector<int64_t> next_trials(const SearchPlan& plan, StudyFile& file, int64_t study) {
  std::vector<int64_t> trials;
  if (plan.options.batch == 1) {
    if (const auto trial = next_trial(plan, file, study)) trials.push_back(*trial);
    return trials;
  }
  const auto held = file.hold();
  while (static_cast<int64_t>(trials.size()) < plan.options.batch) {
    const auto trial = next_trial(plan, file, study);
    if (!trial) break;
    trials.push_back(*trial);
  }
  return trials;
}

bool fail_trial(StudyFile& file, int64_t trial, const std::string& reason) {
  try {
    file.update(trial, {.user_attributes = {{"error", reason}}});
  } catch (const ConfigError&) {  // another process was faster
    return false;
  }
  return file.finish(trial, TrialState::fail).has_value();
}

int64_t fail_trials_of_dead_workers(StudyFile& file, int64_t study, const std::string& reason) {
  int64_t failed = 0;
  for (const int64_t trial : file.abandoned_trials(study)) {
    if (!fail_dead_trial(file, trial, reason, "worker")) continue;
    ++failed;
    const Trial ended = *file.contents().trial(trial);
    queue_again(file, study, ended);
  }
  return failed;
}

int64_t recover_trials(StudyFile& file, int64_t study,
                       const std::function<bool(const Trial&)>& is_own) {
  int64_t failed = 0;
  for (const int64_t trial : file.abandoned_trials(study)) {
    if (is_own && is_own(*file.contents().trial(trial))) continue;
    failed +=
        fail_dead_trial(file, trial, "the search was ended during the trial", "search") ? 1 : 0;
  }
  for (const Trial& trial : trials_without_successor(*file.contents().study(study))) {
    queue_again(file, study, trial);
  }
  return failed;
}

}  // namespace levin
