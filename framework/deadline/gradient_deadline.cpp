#include <levin/framework/deadline/gradient_deadline.h>

#include <cmath>
#include <string>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {

Fields describe(GradientDeadlineOptions& o) {
  return fields_of<GradientDeadlineOptions>(
      {{"seconds", &o.seconds, "seconds to wait for others after the first gradients of a step"},
       {"warmup_steps", &o.warmup_steps, "steps at the beginning that wait for all ranks"},
       {"max_steps_behind", &o.max_steps_behind,
        "steps taken without a rank until the others wait for it"}});
}

std::optional<GradientDeadline> gradient_deadline(const NamedSettings& setting) {
  const auto where = "gradient_deadline: " + setting.name;
  if (setting.name == "none") {
    from_value({}, setting.settings, where);
    return {};
  }
  if (setting.name != "drop" && setting.name != "fold") {
    throw ConfigError::unknown_name("gradient_deadline", setting.name, {"none", "drop", "fold"});
  }
  GradientDeadline deadline{.folds = setting.name == "fold"};
  auto& options = deadline.options;
  from_value(describe(options), setting.settings, where);
  if (!std::isfinite(options.seconds) || options.seconds <= 0.0) {
    throw ConfigError::invalid_value(where + ": seconds", fmt::format("{}", options.seconds),
                                     "must be above 0");
  }
  if (options.warmup_steps < 0) {
    throw ConfigError::invalid_value(where + ": warmup_steps", std::to_string(options.warmup_steps),
                                     "must be at least 0");
  }
  if (options.max_steps_behind < 1) {
    throw ConfigError::invalid_value(where + ": max_steps_behind",
                                     std::to_string(options.max_steps_behind),
                                     "must be at least 1");
  }
  return deadline;
}

}  // namespace levin
