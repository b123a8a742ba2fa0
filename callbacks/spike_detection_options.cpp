#include <levin/callbacks/spike_detection.h>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {

Fields describe(SpikeDetectionOptions& o) {
  return fields_of<SpikeDetectionOptions>({
      {"mode", &o.mode, "min if a smaller loss is better, max if a larger one is"},
      {"window", &o.window, "the number of batches over which the running mean is taken"},
      {"warmup", &o.warmup, "the first batches of each epoch, in which nothing is a spike"},
      {"atol", &o.atol, "how far from the running mean a spike is at least"},
      {"rtol", &o.rtol, "the same, as a multiple of the running mean"},
      {"finite_only", &o.finite_only, "take a NaN or infinite loss for a spike"},
      {"action", &o.action, "stop training, or warn and go on"},
  });
}

void validate(const SpikeDetectionOptions& o) {
  const auto refuse = [](const char* option, auto value, const char* requirement) {
    throw ConfigError::invalid_value(fmt::format("SpikeDetection.{}", option),
                                     fmt::format("{}", value), requirement);
  };
  if (o.mode != "min" && o.mode != "max") {
    refuse("mode", o.mode, "must be min or max");
  }
  if (o.action != "stop" && o.action != "warn") {
    refuse("action", o.action, "must be stop or warn");
  }
  if (o.window < 1) refuse("window", o.window, "must be at least 1");
  if (o.warmup < 0) refuse("warmup", o.warmup, "must be at least 0");
  if (!(o.atol.value_or(0.0) >= 0.0)) refuse("atol", *o.atol, "must be at least 0");
  if (!(o.rtol.value_or(0.0) >= 0.0)) refuse("rtol", *o.rtol, "must be at least 0");
}

}  // namespace levin
