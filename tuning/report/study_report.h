#pragma once

#include <string>
#include <vector>

#include <levin/tuning/study/trial.h>

namespace levin {

/// One line on a trial that has ended: its values or why it failed, and the best trial so far.
std::string trial_line(const Study& study, const Trial& trial);

/// A table of all trials: number, state, values, epochs and parameters, the first row their names.
std::vector<std::vector<std::string>> study_rows(const Study& study);
/// The same as text with aligned columns.
std::string study_table(const Study& study);

/// How many trials there are in each state: "12 trials: 10 complete, 2 pruned".
std::string study_counts(const Study& study);

/// The names of the objectives, as `levin tune` has recorded them, or "value_0" and so on.
std::vector<std::string> objective_names(const Study& study);

/// The study as one JSON object: its name, the number of trials in each state, and the best trial,
/// or the trials of the Pareto front.
Value study_summary(const Study& study);

}  // namespace levin
