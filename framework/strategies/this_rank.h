#pragma once

#include <memory>

#include <levin/framework/run/trainer_options.h>
#include <levin/framework/strategies/strategy.h>

namespace levin {

/// Makes a strategy for this process alone, whatever other ranks there are: on the device that
/// `make_strategy` gives this rank. For trials that each rank makes by itself. Throws ConfigError
/// for a device that this machine doesn't have.
std::unique_ptr<Strategy> make_strategy_of_this_rank(const TrainerOptions& options);

}  // namespace levin
