#pragma once

#include <levin/framework/data/dataloader.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// Returns the same loaders without shuffling, for overfit_batches.
DataLoaders in_order(const DataLoaders& loaders);

/// Returns the same loaders with so many rows in a batch of each device.
DataLoaders with_batch_size(const DataLoaders& loaders, int64_t batch_size);

/// Returns loaders whose steps have as many rows as those of the run that wrote `checkpoint`, if
/// that run had another number of ranks. Otherwise, and if the number of loaders differs, returns
/// `loaders` as they are.
DataLoaders with_rows_a_step_of(const StateDict& checkpoint, const DataLoaders& loaders,
                                RankShare rank_share);

}  // namespace levin
