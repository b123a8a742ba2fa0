#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace levin {

/// The settings of a halving search as scikit-learn's HalvingGridSearchCV and HalvingRandomSearchCV
/// have them.
struct HalvingScheduleOptions {
  /// The number of settings that the first iteration tries.
  int64_t candidates = 0;
  /// The most of the resource, for example rows or epochs, that a candidate may get.
  int64_t max_resources = 0;
  /// What a candidate gets at least (scikit-learn's "smallest").
  int64_t min_resources = 1;
  /// Begins with as much more than min_resources as lets the last iteration use all of
  /// max_resources (scikit-learn's "exhaust").
  bool exhaust = true;
  /// The best 1 / factor of the candidates go on, each with factor times as much.
  double factor = 3.0;
  /// If the resources don't suffice for so many iterations, the first ones are repeated with the
  /// smallest amount, until the last one has fewer than `factor` candidates.
  bool aggressive_elimination = false;
};

/// One iteration of a halving search.
struct HalvingIteration {
  int64_t candidates = 0;
  int64_t resources = 0;
};

/// Returns the iterations, the same as scikit-learn's `n_candidates_` and `n_resources_`. Throws
/// ConfigError if there is no candidate, factor isn't above 1, or min_resources is below 1 or above
/// max_resources.
std::vector<HalvingIteration> halving_schedule(const HalvingScheduleOptions& options);

/// Returns which `count` of the candidates go on, as indices from the worst to the best score;
/// scores are to be large, NaN is the worst. (scikit-learn takes the best candidate from the last
/// iteration alone.)
std::vector<size_t> best_candidates(const std::vector<double>& scores, size_t count);

}  // namespace levin
