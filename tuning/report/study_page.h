#pragma once

#include <string>

#include <levin/tuning/study/trial.h>

namespace levin {

/// An HTML page on a study: its best trials, the plots of study_plots.h and a table of all trials.
/// It needs no other file and no network.
std::string study_page(const Study& study);

}  // namespace levin
