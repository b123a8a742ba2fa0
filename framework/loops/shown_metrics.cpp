#include <levin/framework/loops/shown_metrics.h>

namespace levin {

void save_shown_metrics(RunControl& run, Value& values) {
  values["metrics"] = to_value(run.metrics());
  values["metric_updates"] = counts_to_value(run.update_counts());
  values["metric_epochs"] = counts_to_value(run.update_epochs());
  values["progress_bar"] = to_value(run.progress_bar_metrics());
  values["logged"] = to_value(run.logged_metrics());
}

void load_shown_metrics(RunControl& run, const Value& values, bool has_loggers) {
  run.known_metrics() = to_metrics(values.at("metrics"));
  run.known_progress_bar() = to_metrics(values.at("progress_bar"));
  if (has_loggers && values.contains("logged")) {
    run.known_logged() = to_metrics(values.at("logged"));
  }
  if (values.contains("metric_updates")) {
    run.update_counts() = to_counts(values.at("metric_updates"));
    run.update_epochs() = to_counts(values.at("metric_epochs"));
  }
}

}  // namespace levin
