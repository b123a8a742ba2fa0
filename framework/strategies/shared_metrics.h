#pragma once

#include <vector>

#include <levin/framework/logged/logged_values.h>
#include <levin/framework/tensor/tensor.h>

namespace levin {

/// Returns all values of `metrics`, [values], one after another: what the ranks gather.
std::vector<double> values_of(const PackedMetrics& metrics);

/// Combines the metrics of ranks that share a model and have the same rows, in place: ranks that
/// have logged a value have the same one, and all take that of the first of them, so that ranks
/// whose processors round differently decide alike. `all`, [ranks, values] float64, has what
/// `values_of` returned on each rank.
///
///     take_first_logged(metrics, group.all_gather(to_tensor(values_of(metrics))));
void take_first_logged(PackedMetrics& metrics, const torch::Tensor& all);

}  // namespace levin
