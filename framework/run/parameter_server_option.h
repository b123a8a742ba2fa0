#pragma once

namespace levin {

struct TrainerOptions;

/// Checks the option `parameter_server`, and what goes with strategy = parameter_server. A part of
/// `validate(const TrainerOptions&)`. Throws ConfigError for settings that are wrong, for those of
/// another strategy, and for options with which servers can't work.
void validate_parameter_server(const TrainerOptions& options);

}  // namespace levin
