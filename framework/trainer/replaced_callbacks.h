#pragma once

#include <vector>

#include <levin/framework/core/ranks.h>
#include <levin/framework/loops/hook_list.h>
#include <levin/framework/run/module_callbacks.h>

namespace levin {

/// Whether the callbacks are those of a trial (trial.h), whose traces nobody shall see. The
/// module's own callbacks, which may save or stop, aren't added to these.
bool is_trial(const std::vector<HookList::Entry>& entries);
/// Whether that trial is one of this rank alone (TrialOfThisRank).
bool is_trial_of_this_rank(const std::vector<HookList::Entry>& entries);

/// Returns the callbacks of a stage: those of the Trainer, `entries`, without those of the same
/// classes as the module's `own`, and then those of the module, which must outlive the list. Rank 0
/// prints a note about each that is left out. Lightning: _attach_model_callbacks.
std::vector<HookList::Entry> with_module_callbacks(const std::vector<HookList::Entry>& entries,
                                                   const ModuleCallbacks& own, const Ranks& ranks);

}  // namespace levin
