#include <levin/framework/parameter_server/server_settings.h>

#include <cmath>
#include <string>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/parameter_server/server_clock.h>

namespace levin {
namespace {

struct GivenServerSettings {
  int64_t servers = ServerSettings{}.servers;
  int64_t staleness = ServerSettings{}.staleness;
  double delay_compensation = ServerSettings{}.delay_compensation;
};

Fields describe(GivenServerSettings& o) {
  return fields_of<GivenServerSettings>(
      {{"servers", &o.servers, "ranks that each hold a part of the parameters"},
       {"staleness", &o.staleness, "ssp: steps that a rank may be ahead of the slowest one"},
       {"delay_compensation", &o.delay_compensation,
        "ssp, asp: lambda of DC-ASGD, by which late gradients are corrected; 0: they aren't"}});
}

ServerSettings::Mode mode_named(const std::string& name) {
  if (name == "bsp") return ServerSettings::Mode::bsp;
  if (name == "ssp") return ServerSettings::Mode::ssp;
  if (name == "asp") return ServerSettings::Mode::asp;
  throw ConfigError::unknown_name("parameter_server", name, {"bsp", "ssp", "asp"});
}

}  // namespace

int64_t ServerSettings::clock_staleness() const {
  if (mode == Mode::bsp) return 0;
  return mode == Mode::ssp ? staleness : ServerClock::kUnbounded;
}

ServerSettings server_settings(const NamedSettings& option) {
  ServerSettings settings{.mode = mode_named(option.name)};
  GivenServerSettings given;
  const std::string where = "parameter_server: " + option.name;
  from_value(describe(given), option.settings, where);
  const auto refuse = [&](const char* name, const std::string& value, const char* rule) {
    throw ConfigError::invalid_value(fmt::format("{}: {}", where, name), value, rule);
  };
  if (given.servers < 1) refuse("servers", fmt::to_string(given.servers), "must be at least 1");
  if (given.staleness < 1) {
    refuse("staleness", fmt::to_string(given.staleness), "must be at least 1");
  }
  const double lambda = given.delay_compensation;
  if (!std::isfinite(lambda) || lambda < 0.0) {
    refuse("delay_compensation", fmt::to_string(lambda), "must be 0 or more");
  }
  if (option.settings.contains("staleness") && settings.mode != ServerSettings::Mode::ssp) {
    throw ConfigError::conflict(
        fmt::format("parameter_server = {} with staleness = {}", option.name, given.staleness),
        "use ssp, the only mode with a bound");
  }
  if (lambda > 0.0 && settings.mode == ServerSettings::Mode::bsp) {
    throw ConfigError::conflict(
        fmt::format("parameter_server = bsp with delay_compensation = {}, though no gradient is "
                    "late in step",
                    lambda),
        "use ssp or asp");
  }
  settings.servers = given.servers;
  settings.staleness = given.staleness;
  settings.delay_compensation = lambda;
  return settings;
}

}  // namespace levin
