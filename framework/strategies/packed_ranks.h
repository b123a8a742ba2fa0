#pragma once

#include <levin/framework/collectives/process_group.h>
#include <levin/framework/logged/logged_values.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// Returns the values of packed metrics as one tensor, [values] float64, for ranks to exchange.
torch::Tensor packed_values(const PackedMetrics& metrics);

/// Returns the packed metrics of all ranks of `group`, [ranks, values] float64, on every rank.
torch::Tensor gather_metrics(ProcessGroup& group, const PackedMetrics& metrics);

/// Combines the values of several ranks, `all`: [ranks, values] as `packed_values` returns them, in
/// the order of the ranks, so that every rank gets the same bits. `metrics` has one rank's values,
/// in the place of which come the combined ones.
void combine_ranks(PackedMetrics& metrics, const torch::Tensor& all);

/// Combines the values of ranks that share a model and have the same rows, `all`: [ranks, values]
/// as `packed_values` returns them, in place: ranks that have logged a value have the same one, and
/// all take that of the first of them, so that ranks whose processors round differently decide
/// alike.
void take_first_logged(PackedMetrics& metrics, const torch::Tensor& all);

}  // namespace levin
