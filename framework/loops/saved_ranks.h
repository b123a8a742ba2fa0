#pragma once

#include <cstdint>

#include <levin/framework/core/value.h>
#include <levin/framework/strategies/strategy.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

// What a checkpoint says of the ranks that wrote it, in its child `ranks` (FitState).

/// What the ranks of a run say of themselves there; `alone`: this one as if there were no others.
Value describe_ranks(Strategy& strategy, bool alone);
/// How many ranks there were; 1 if it says nothing.
int64_t world_size_of(const StateDict& checkpoint);
/// How many of them had different rows. Ranks that share a model (Place::model_size) have the same.
int64_t data_ranks_of(const StateDict& checkpoint);
/// How many of them shared each layer that can be divided.
int64_t tensor_size_of(const StateDict& checkpoint);
/// Whether there were as many ranks as `strategy` has, which shared models and rows in the same
/// way.
bool has_same_ranks(const StateDict& checkpoint, Strategy& strategy);
/// Whether another rank of its model had the same rows as the one of which `ranks.<r>` is `rank`,
/// and stands for both.
bool shared_rows(const StateDict& rank);

}  // namespace levin
