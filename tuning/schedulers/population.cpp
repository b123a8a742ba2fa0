#include <levin/tuning/schedulers/population.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/tuning/samplers/searcher.h>

namespace levin {
namespace {

/// A value near to another one of the same parameter.
double changed_value(const Distribution& distribution, double value, RandomSource& random,
                     const PopulationOptions& options) {
  const bool up = random.uniform() < 0.5;
  if (distribution.is_categorical()) return distribution.nearest(value + (up ? 1.0 : -1.0));
  const double changed = value * (up ? options.factor_up : options.factor_down);
  const double nearest = distribution.nearest(changed);
  if (nearest != value || distribution.step() == 0.0) return nearest;
  // A factor doesn't get a small whole number to the next one.
  return distribution.nearest(value + (up ? distribution.step() : -distribution.step()));
}

void check_options(const PopulationOptions& options) {
  const auto check = [](const char* name, double value, bool is_right, const char* requirement) {
    if (!is_right) throw ConfigError::invalid_value(name, fmt::format("{}", value), requirement);
  };
  check("quantile_fraction", options.quantile_fraction,
        options.quantile_fraction > 0.0 && options.quantile_fraction <= 0.5,
        "must be above 0 and at most 0.5");
  check("resample_probability", options.resample_probability,
        options.resample_probability >= 0.0 && options.resample_probability <= 1.0,
        "must be from 0 to 1");
  check("factor_up", options.factor_up, options.factor_up > 0.0, "must be above 0");
  check("factor_down", options.factor_down, options.factor_down > 0.0, "must be above 0");
}

}  // namespace

std::optional<PopulationExchange> exchange_in_population(
    const SearchSpace& space, const std::vector<PopulationMember>& members, size_t own,
    StudyDirection direction, int64_t step, const PopulationOptions& options) {
  check_options(options);
  const double sign = direction == StudyDirection::maximize ? -1.0 : 1.0;
  std::vector<size_t> order(members.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    if (std::isnan(members[b].value)) return !std::isnan(members[a].value);
    return sign * members[a].value < sign * members[b].value;
  });
  const auto share = static_cast<size_t>(
      std::ceil(static_cast<double>(members.size()) * options.quantile_fraction));
  const size_t quantile = std::min(share, members.size() / 2);
  const auto place =
      static_cast<size_t>(std::find(order.begin(), order.end(), own) - order.begin());
  if (quantile == 0 || place < members.size() - quantile) return std::nullopt;

  auto random = RandomSource::of_trial(options.seed ^ static_cast<uint64_t>(step) << 20U,
                                       members[own].number);
  const auto chosen = static_cast<size_t>(random.uniform() * static_cast<double>(quantile));
  PopulationExchange exchange{order[chosen], {}};
  const ParameterValues& source = members[exchange.source].parameters;
  ParameterValues values;
  for (const SearchParameter& parameter : space.parameters()) {
    const bool resamples = random.uniform() < options.resample_probability;
    const double fresh = value_at(parameter.distribution, random.uniform());
    const auto had = source.find(parameter.name);
    values[parameter.name] =
        resamples || had == source.end()
            ? fresh
            : changed_value(parameter.distribution, had->second, random, options);
  }
  exchange.parameters = space.only_active(values);
  return exchange;
}

}  // namespace levin
