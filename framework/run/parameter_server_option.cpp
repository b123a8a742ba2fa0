#include <levin/framework/run/parameter_server_option.h>

#include <string>
#include <string_view>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/parameter_server/server_settings.h>
#include <levin/framework/precision/precision.h>
#include <levin/framework/run/trainer_options.h>

namespace levin {

void validate_parameter_server(const TrainerOptions& options) {
  const ServerSettings settings = server_settings(options.parameter_server);
  if (options.strategy != "parameter_server") {
    if (settings == ServerSettings{}) return;
    throw ConfigError::conflict(
        fmt::format("parameter_server = {} with strategy = {}, which has no servers",
                    options.parameter_server.name, options.strategy),
        "use strategy = parameter_server");
  }
  const auto refuse = [](const std::string& what, std::string_view hint) {
    throw ConfigError::conflict("strategy = parameter_server with " + what, hint);
  };
  if (options.gradient_compression.name != "none") {
    refuse("gradient_compression = " + options.gradient_compression.name,
           "servers take whole gradients: leave it out, or use strategy = ddp");
  }
  if (Precision{options.precision}.scales_gradients()) {
    refuse("precision = 16-mixed, whose scale of gradients changes from step to step",
           "use precision = bf16-mixed");
  }
  if (settings.mode != ServerSettings::Mode::bsp) {
    if (!options.sync_batchnorm) return;
    refuse("sync_batchnorm, for which ranks wait for each other in each step",
           "use parameter_server = bsp, or batch norms of each rank");
  }
  if (options.gradient_clip_val.value_or(0.0) == 0.0) return;
  if (options.gradient_clip_algorithm == "value") {
    refuse("gradient_clip_algorithm = value, though the sum of the gradients is what is clipped",
           "use gradient_clip_algorithm = norm");
  }
  if (settings.servers > 1) {
    refuse(
        fmt::format("gradient_clip_val = {} and {} servers, none of which has the whole gradient",
                    *options.gradient_clip_val, settings.servers),
        "use servers = 1");
  }
}

}  // namespace levin
