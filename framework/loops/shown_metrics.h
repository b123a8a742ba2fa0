#pragma once

#include <levin/framework/core/value.h>
#include <levin/framework/run/run_control.h>

namespace levin {

/// Puts the metrics that the run shows, and when each got its value, into a checkpoint's values.
void save_shown_metrics(RunControl& run, Value& values);

/// Takes them from there. `has_loggers` says whether the run has loggers, without which it shows
/// none of what they were given.
void load_shown_metrics(RunControl& run, const Value& values, bool has_loggers);

}  // namespace levin
