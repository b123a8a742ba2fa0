#pragma once

#include <cstdint>

#include <levin/framework/core/options.h>

namespace levin {

/// What the Trainer's option `parameter_server` says. The name of the option is the mode; the
/// others are its settings: `bsp`, or `{name: ssp, servers: 2, staleness: 3}`.
struct ServerSettings {
  /// When a server steps, and for whom a worker waits: in step (BSP), with bounded staleness (SSP)
  /// or without bound (ASP); see ServerClock.
  enum class Mode { bsp, ssp, asp };

  Mode mode = Mode::bsp;
  /// The number of servers, each of which has a part of the parameters. They run in the first
  /// ranks, so there are at most as many as ranks.
  int64_t servers = 1;
  /// With ssp: how many steps a worker may be ahead of the slowest one.
  int64_t staleness = 2;
  /// With ssp and asp: ParameterServerOptions::delay_compensation.
  double delay_compensation = 0.0;

  bool operator==(const ServerSettings&) const = default;
  /// The same as ServerClock and ParameterServerOptions take it.
  int64_t clock_staleness() const;
};

/// Reads the option. Throws ConfigError for an unknown mode, and for a setting that is unknown, out
/// of range, or has no effect in the mode.
ServerSettings server_settings(const NamedSettings& option);

}  // namespace levin
