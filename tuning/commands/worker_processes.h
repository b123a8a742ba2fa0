#pragma once

#include <sys/types.h>

#include <functional>

#include <levin/framework/config/registry.h>
#include <levin/framework/launch/child_process.h>
#include <levin/tuning/study/study_file.h>
#include <levin/tuning/trials/search_plan.h>

namespace levin {

/// Whether this process is a worker of a search, which `search_with_workers` has started.
bool is_tune_worker();

/// What a worker does: runs trials that wait, until its search closes its stdin. Returns the exit
/// status.
int work_for_search(const SearchPlan& plan, const Registry& registry);

/// Starts the process of a worker and returns its id: start_child, or a fork that calls
/// work_for_search after it has done to itself what start_child does (tests save the time of an
/// exec).
using WorkerStart = std::function<pid_t(const ChildCommand&, const SupervisorSignals&)>;

/// Runs a search in `plan.options.workers` processes, which are this program with the same
/// arguments; each of them runs one trial after another. This process queues the trials, replaces
/// workers that die, records their trials as failed (see fail_trials_of_dead_workers) and kills
/// workers whose trial takes longer than `trial_timeout`. If this process is killed, the kernel
/// kills the workers, and the next search on the study goes on with their trials.
///
/// `on_trial` is called with each trial that has ended. Returns false if a signal ended the search.
/// Throws Error if workers die before they have run a trial, several times in a row.
bool search_with_workers(const SearchPlan& plan, StudyFile& file, int64_t study,
                         const std::function<void(const Study&, const Trial&)>& on_trial,
                         const WorkerStart& start_worker = start_child);

}  // namespace levin
