#pragma once

#include <string>
#include <utility>
#include <vector>

#include <levin/tuning/study/trial.h>

namespace levin {

/// Each function returns an SVG document. Trials with values count: complete and pruned ones, of
/// several objectives the first. `with_style` is false for drawings of a page that has svg::style.

/// The values of the trials in the order of their numbers, and the best complete one so far.
std::string draw_history(const Study& study, bool with_style = true);

/// A line for each trial through its parameters and its value; the best tenth is in a colour of its
/// own.
std::string draw_parallel_coordinates(const Study& study, bool with_style = true);

/// For each parameter, the values of the trials over the parameter.
std::string draw_slices(const Study& study, bool with_style = true);

/// The importance of each parameter (see parameter_importances) as a bar.
std::string draw_importances(const Study& study, bool with_style = true);

}  // namespace levin
