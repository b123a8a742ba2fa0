#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <levin/tuning/study/study_file.h>
#include <levin/tuning/trials/search_plan.h>

namespace levin {

/// Runs a trial of the study in this process: chooses its parameters, unless they are given as the
/// trial's "fixed_params", trains through a Session, reports the metric of each epoch, lets the
/// pruner end the trial early, and records what came of it. The value of a trial is that of its
/// last epoch, or of its best one (TuneOptions::value).
///
/// The trial's runs are in the folder that its user attribute "folder" names:
/// levin_logs/STUDY/trial_N in the configuration's default_root_dir. A trial that takes over from a
/// killed one (see `fail_trials_of_dead_workers`) goes on from the newest checkpoint in that one's
/// folder.
///
/// An exception of the training is recorded as a failed trial with its message as the user
/// attribute "error", and isn't passed on. Returns the recorded state, `waiting` for a trial that
/// ASHA has paused or that has to wait for others; nothing if a signal ended
/// the training: the trial then still runs as far as the study says, and goes on from its
/// checkpoint once this process has ended and the search is continued. Throws what StudyFile
/// throws.
std::optional<TrialState> run_trial(const SearchPlan& plan, const Registry& registry,
                                    StudyFile& file, int64_t trial);

/// Runs several trials at once, as one batched model (BatchedSession), if they can be trained so,
/// and otherwise one after the other: those that go on from a checkpoint, and all if one of them
/// fails, so that the others don't. Their checkpoints have weights alone and are written at the
/// end, so a trial whose process has died begins anew. Returns what `run_trial` returns for each.
/// Once a signal has ended the training, trials that haven't run stay as they are.
std::vector<std::optional<TrialState>> run_trials(const SearchPlan& plan, const Registry& registry,
                                                  StudyFile& file,
                                                  const std::vector<int64_t>& trials);

/// The folder of a trial's runs, as the study says; empty if it says none.
std::filesystem::path folder_of(const Trial& trial);

/// The newest checkpoint of a trial; empty if it has none.
std::filesystem::path checkpoint_of(const Trial& trial);

}  // namespace levin
