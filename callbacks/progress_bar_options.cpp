#include <levin/callbacks/progress_bar_options.h>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {

Fields describe(ProgressBarOptions& o) {
  return fields_of<ProgressBarOptions>({
      {"refresh_rate", &o.refresh_rate,
       "batches after which an update may be due; 0: no progress bar"},
      {"refresh_interval", &o.refresh_interval, "on a terminal: least seconds between updates"},
      {"plain_interval", &o.plain_interval,
       "in a file: seconds between lines; 0: one line for each epoch"},
      {"leave", &o.leave, "on a terminal: keep the last line of each epoch"},
  });
}

void validate(const ProgressBarOptions& o) {
  if (o.refresh_rate >= 0) return;
  throw ConfigError::invalid_value("ProgressBar.refresh_rate", fmt::to_string(o.refresh_rate),
                                   "must be at least 0");
}

}  // namespace levin
