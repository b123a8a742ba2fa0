#include <levin/framework/parameter_server/server_options.h>

#include <cmath>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/parameter_server/server_clock.h>
#include <levin/framework/parameter_server/server_wire.h>

namespace levin {
namespace {

void check_server_option(bool is_valid, const char* name, const std::string& value,
                         const char* rule) {
  if (!is_valid) throw ConfigError::invalid_value(name, value, rule);
}

}  // namespace

ParameterServerOptions checked_server_options(ParameterServerOptions options,
                                              ConstServerSpan values) {
  const auto check = [](bool is_valid, const char* name, int64_t value, const char* rule) {
    check_server_option(is_valid, name, fmt::to_string(value), rule);
  };
  check(options.workers >= 1, "workers", options.workers, "must be at least 1");
  check(options.staleness >= ServerClock::kUnbounded, "staleness", options.staleness,
        "must be 0 or more, or -1 for no bound");
  check(options.rows >= 0, "rows", options.rows, "must be 0 or more");
  check(options.width >= 1, "width", options.width, "must be at least 1");
  check(options.servers >= 1, "servers", options.servers, "must be at least 1");
  check(options.server >= 0 && options.server < options.servers, "server", options.server,
        "must be from 0 to servers - 1");
  const size_t bytes = options.token.size();
  check(bytes >= 1 && bytes <= 64, "bytes of the token", static_cast<int64_t>(bytes),
        "must be 1 to 64");
  const double lambda = options.delay_compensation;
  check_server_option(std::isfinite(lambda) && lambda >= 0.0, "delay_compensation",
                      fmt::to_string(lambda), "must be 0 or more");
  if (lambda > 0.0 && options.staleness == 0) {
    throw ConfigError::conflict("delay_compensation, and workers in step, which have no delay",
                                "set staleness, or leave delay_compensation at 0");
  }
  const ServerDescription description{.type = static_cast<int64_t>(values.type()),
                                      .workers = options.workers,
                                      .server = options.server,
                                      .servers = options.servers,
                                      .rows = options.rows,
                                      .width = options.width};
  check(is_valid(description), "rows", options.rows, "is more than a table can have");
  if (values.size() != static_cast<size_t>(options.rows * options.width)) {
    throw ConfigError::invalid_value(
        "values", fmt::to_string(values.size()),
        fmt::format("must be rows * width = {} numbers", options.rows * options.width));
  }
  return options;
}

}  // namespace levin
