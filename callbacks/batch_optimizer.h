#pragma once

namespace levin {

class Run;

/// Throws ConfigError if an optimizer of the run is a solver or an online learner, of whose steps a
/// callback (`who`) can't see the weights.
void require_batch_optimizer(const char* who, Run& run);

}  // namespace levin
