#pragma once

#include <string>
#include <utility>
#include <vector>

#include <levin/tuning/study/trial.h>

namespace levin {

/// Returns how much each parameter matters for being among the best tenth of the complete trials,
/// by PED-ANOVA (arXiv:2304.10255; with conditions, arXiv:2601.20800), the largest first. The sum
/// is 1. The same as Optuna's get_param_importances with its PedAnovaImportanceEvaluator. Empty if
/// no trial is complete; if too few are to tell, all parameters have the same importance.
std::vector<std::pair<std::string, double>> parameter_importances(const Study& study);

}  // namespace levin
