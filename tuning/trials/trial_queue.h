#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <levin/tuning/study/study_file.h>
#include <levin/tuning/trials/search_plan.h>

namespace levin {

/// The system attribute of a trial that takes over from a failed one: that one's number. Optuna's
/// RetryFailedTrialCallback uses the same name.
constexpr const char* kFailedTrialAttribute = "failed_trial";

/// The number by which a searcher knows a trial. For a searcher that counts places, trials that
/// take over from failed ones don't count, so that each place of its sequence is tried.
int64_t number_for_searcher(const Searcher& searcher, const Study& study, const Trial& trial);

/// Whether the trials that the parameters of this one depend on have ended.
bool is_ready_to_run(const SearchPlan& plan, const StudyFile& file, int64_t trial);

/// How many trials of the study are of their own, and don't take over from another one.
int64_t own_trials(const Study& study);

/// Whether the study has had as many trials or epochs as the options want.
bool is_budget_spent(const SearchPlan& plan, const Study& study);
/// Whether it has had as many epochs; then no waiting or paused trial is started either.
bool is_epoch_budget_spent(const SearchPlan& plan, const Study& study);

/// How many trials wait for a worker, or for others to end first. Trials that ASHA has paused count
/// only if one may go on: as 1.
int64_t waiting_count(const SearchPlan& plan, const Study& study);

/// Starts such a trial and returns its id; nothing if there is none. It is a paused trial that ASHA
/// lets go on, or else of the trials that wait for nothing the one with the lowest number. If two
/// searches have queued the same failed trial again, the second of the two is recorded as failed.
std::optional<int64_t> start_waiting_trial(const SearchPlan& plan, StudyFile& file, int64_t study);

/// Records the trials that ASHA has paused as pruned, because the search is over. Does nothing if a
/// trial still runs, whose search will do it.
void end_paused_trials(const SearchPlan& plan, StudyFile& file, int64_t study);

/// Returns the trial to run next: one that waits, or a new one. Nothing if the budget is spent, or
/// all that wait have to wait for others to end (see waiting_count).
std::optional<int64_t> next_trial(const SearchPlan& plan, StudyFile& file, int64_t study);

/// Returns the trials to train at once, as many as the options want or there are.
std::vector<int64_t> next_trials(const SearchPlan& plan, StudyFile& file, int64_t study);

/// Records a running trial as failed with this reason as its user attribute "error". Returns false
/// if it had ended before.
bool fail_trial(StudyFile& file, int64_t trial, const std::string& reason);

/// Fails the running trials of processes of this machine that have died, and queues each of them
/// again as a new trial of the same parameters, which goes on from its checkpoint if it has one.
/// That is done three times in a row at most, and once if there is no checkpoint, because it may be
/// the trial that kills its process. Returns how many failed.
int64_t fail_trials_of_dead_workers(StudyFile& file, int64_t study, const std::string& reason);

/// Does the same for the trials of other searches that were killed, also on hosts that have died
/// (see StudyFile::abandoned_trials). That is done ten times in a row at most, because it was
/// probably not the trial's fault. Trials that `is_own` names are left alone; by default none.
int64_t recover_trials(StudyFile& file, int64_t study,
                       const std::function<bool(const Trial&)>& is_own = {});

/// The trial from which this one takes over; null if there is none.
const Trial* predecessor_of(const Study& study, const Trial& trial);

}  // namespace levin
