#pragma once

#include <string_view>

namespace levin {

class Run;

/// Throws ConfigError if ranks of the run share a model (Place::model_size), so that a callback
/// (`who`) finds only a part of the weights on each of them. `why` says what it needs all for.
void require_whole_model(std::string_view who, std::string_view why, const Run& run);

}  // namespace levin
