#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <levin/tuning/space/search_space.h>
#include <levin/tuning/study/trial.h>

namespace levin {

/// The settings of population based training; the defaults are those of Ray Tune.
struct PopulationOptions {
  uint64_t seed = 0;
  /// The worst share of the population takes over from the best share; above 0, at most 0.5.
  double quantile_fraction = 0.25;
  /// How likely a parameter gets a new random value; otherwise it changes a little.
  double resample_probability = 0.25;
  /// A number changes by one of these factors; a choice becomes one of its neighbours.
  double factor_up = 1.2;
  double factor_down = 0.8;
};

/// A member of the population, as it is at a moment of comparison.
struct PopulationMember {
  /// The number of its trial, and how it does now; NaN is the worst.
  int64_t number = 0;
  double value = 0.0;
  ParameterValues parameters{};
};

/// What a member does instead of going on: it loads the checkpoint of another one and goes on with
/// other parameters.
struct PopulationExchange {
  size_t source = 0;  // among the members
  ParameterValues parameters{};
};

/// Population based training (arXiv:1711.09846): decides what member `own` does at a moment that
/// `step` counts. Nothing: it goes on as it is. The decision depends on nothing but the arguments,
/// so that it doesn't matter which process makes it. Throws ConfigError if an option is out of its
/// range.
std::optional<PopulationExchange> exchange_in_population(
    const SearchSpace& space, const std::vector<PopulationMember>& members, size_t own,
    StudyDirection direction, int64_t step, const PopulationOptions& options);

}  // namespace levin
