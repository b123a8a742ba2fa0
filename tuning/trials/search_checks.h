#pragma once

#include <levin/framework/config/registry.h>
#include <levin/tuning/trials/search_plan.h>

namespace levin {

/// Throws ConfigError, naming the place in the search space and the nearest name, if a setting that
/// the space names doesn't exist in the classes that it would be given to, or can't have one of the
/// ends of its range or one of its choices; and if a trial would train on several devices.
void check_settings(const SearchPlan& plan, const Registry& registry);

/// Runs a batch of training and validation with the first values of all parameters. Throws
/// ConfigError if it doesn't log one of the metrics, proposing the nearest one that it logs, and
/// passes on ConfigError and DataError; what else fails is left to the trials.
void check_metrics(const SearchPlan& plan, const Registry& registry);

}  // namespace levin
