#pragma once

#include <string>
#include <string_view>

#include <levin/framework/logged/logged_values.h>

namespace levin {

/// Returns a warning that `who` (a callback or scheduler) watches a metric, `monitor`, that
/// validation doesn't log, so that a misspelt name is known before the first epoch. `logged` is
/// what the sanity check has logged. Empty if the metric is among it, and if the name rather looks
/// like that of a training metric: it doesn't begin with "val" and isn't near to one that was
/// logged.
///
///     missing_monitor("EarlyStopping", "val_los", {{"val_loss", 0.7}});   // "... 'val_los' ..."
///     missing_monitor("EarlyStopping", "train_loss", {{"val_loss", 0.7}});   // ""
std::string missing_monitor(std::string_view who, std::string_view monitor,
                            const MetricMap& logged);

/// Returns a warning, for the end of a fit, that `who` got no value of the metric in it.
std::string unused_monitor(std::string_view who, std::string_view monitor);

/// The name of the fact that both warnings are about, for Run::warn: only one of them is printed.
std::string monitor_fact(std::string_view who, std::string_view monitor);

}  // namespace levin
