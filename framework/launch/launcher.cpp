#include <levin/framework/launch/launcher.h>

#include <cmath>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/write_signals.h>
#include <levin/framework/launch/supervisor.h>

namespace levin {
namespace {

void require(bool holds, std::string_view option, const auto& value, std::string_view needed) {
  if (!holds) throw ConfigError::invalid_value(option, fmt::format("{}", value), needed);
}

void validate(const LaunchOptions& options) {
  require(options.processes >= 1, "processes", options.processes, "must be at least 1");
  require(options.num_nodes >= 1, "num_nodes", options.num_nodes, "must be at least 1");
  require(options.node_rank >= 0 && options.node_rank < options.num_nodes, "node_rank",
          options.node_rank, fmt::format("must be from 0 to {}", options.num_nodes - 1));
  require(options.master_port >= 0 && options.master_port <= 65535, "master_port",
          options.master_port, "must be a port from 1 to 65535, or 0 for a free one");
  require(options.max_restarts >= 0, "max_restarts", options.max_restarts, "must be at least 0");
  require(std::isfinite(options.grace_seconds) && options.grace_seconds >= 0, "grace_seconds",
          options.grace_seconds, "must be at least 0");
  if (options.num_nodes == 1) return;
  require(!options.master_address.empty(), "master_address", "''",
          "must be the address of host 0 if there are several hosts");
  require(options.master_port != 0, "master_port", options.master_port,
          "must be a port, the same on every host, if there are several hosts");
}

}  // namespace

int launch(const LaunchOptions& options) {
  validate(options);
  occupy_standard_descriptors();
  return Supervisor(options).run();
}

}  // namespace levin
