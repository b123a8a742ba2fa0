#include <levin/tuning/samplers/simple_searchers.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

constexpr size_t kMostCombinations = 1'000'000;
constexpr uint32_t kSobolBits = 30;

/// The values that a grid tries.
std::vector<double> grid_values(const SearchParameter& parameter, int64_t points) {
  const Distribution& distribution = parameter.distribution;
  std::vector<double> values;
  if (distribution.size() > kMostCombinations) {
    throw ConfigError(fmt::format("{}: a grid would try {} values; give the range a step",
                                  parameter.name, distribution.size()));
  }
  if (distribution.size() > 0) {
    for (uint64_t i = 0; i < distribution.size(); ++i) {
      values.push_back(
          distribution.nearest(distribution.low() + static_cast<double>(i) * distribution.step()));
    }
    if (distribution.is_single()) values = {distribution.low()};
    return values;
  }
  if (points < 2) {
    throw ConfigError(fmt::format(
        "{}: a grid can't try every float of a range; give it a step or choices, or say "
        "how many points (at least 2) it shall try",
        parameter.name));
  }
  for (int64_t i = 0; i < points; ++i) {
    values.push_back(
        value_at(distribution, static_cast<double>(i) / static_cast<double>(points - 1)));
  }
  return values;
}

bool parity(uint32_t word) { return std::popcount(word) % 2 == 1; }

/// Multiplies direction numbers by a random lower triangular matrix of bits.
void scramble_directions(std::vector<uint32_t>& directions, RandomSource& random) {
  std::vector<uint32_t> rows(kSobolBits);
  for (uint32_t i = 0; i < kSobolBits; ++i) {  // of the highest bit first
    const uint32_t own = 1U << (kSobolBits - 1 - i);
    const uint32_t higher = ((1U << kSobolBits) - 1) & ~((own << 1U) - 1);
    rows[i] = (random.bits() & higher) | own;
  }
  for (uint32_t& direction : directions) {
    uint32_t scrambled = 0;
    for (uint32_t i = 0; i < kSobolBits; ++i) {
      if (parity(direction & rows[i])) scrambled |= 1U << (kSobolBits - 1 - i);
    }
    direction = scrambled;
  }
}

}  // namespace

double value_at(const Distribution& distribution, double place) {
  const uint64_t size = distribution.size();
  if (distribution.is_log()) {
    const double half = distribution.is_int() ? 0.5 : 0.0;
    const double low = std::log(distribution.low() - half);
    const double high = std::log(distribution.high() + half);
    const double value = std::exp(low + place * (high - low));
    return distribution.nearest(value);
  }
  if (size > 0) {
    const double index = std::floor(place * static_cast<double>(size));
    return distribution.nearest(distribution.low() +
                                std::clamp(index, 0.0, static_cast<double>(size - 1)) *
                                    distribution.step());
  }
  return distribution.nearest(distribution.low() +
                              place * (distribution.high() - distribution.low()));
}

ParameterValues random_values(const SearchSpace& space, RandomSource& random) {
  ParameterValues values;
  for (const SearchParameter& parameter : space.parameters()) {
    values[parameter.name] = value_at(parameter.distribution, random.uniform());
  }
  return values;
}

RandomSearcher::RandomSearcher(SearchSpace space, uint64_t seed)
    : space_(std::move(space)), seed_(seed) {}

std::optional<Suggestion> RandomSearcher::suggest(const Study& /*study*/, int64_t number) const {
  auto random = RandomSource::of_trial(seed_, number);
  return Suggestion{space_.only_active(random_values(space_, random)), {}};
}

GridSearcher::GridSearcher(SearchSpace space, int64_t points) {
  combinations_.emplace_back();
  for (const SearchParameter& parameter : space.parameters()) {
    const std::vector<double> values = grid_values(parameter, points);
    const auto with = static_cast<size_t>(std::count_if(
        combinations_.begin(), combinations_.end(),
        [&](const auto& combination) { return space.is_active(parameter, combination); }));
    if (combinations_.size() - with + with * values.size() > kMostCombinations) {
      throw ConfigError(
          "the grid has more than 1,000,000 combinations; leave out parameters or values");
    }
    std::vector<ParameterValues> longer;
    for (const ParameterValues& combination : combinations_) {
      if (!space.is_active(parameter, combination)) {
        longer.push_back(combination);
        continue;
      }
      for (const double value : values) {
        longer.push_back(combination);
        longer.back()[parameter.name] = value;
      }
    }
    combinations_ = std::move(longer);
  }
}

std::optional<Suggestion> GridSearcher::suggest(const Study& /*study*/, int64_t number) const {
  if (number < 0 || static_cast<size_t>(number) >= combinations_.size()) return std::nullopt;
  return Suggestion{combinations_[static_cast<size_t>(number)], {}};
}

SobolSearcher::SobolSearcher(SearchSpace space, uint64_t seed) : space_(std::move(space)) {
  const size_t count = space_.parameters().size();
  if (count > most_parameters) {
    throw ConfigError(
        fmt::format("the search space has {} parameters; a Sobol search can vary at most {}", count,
                    most_parameters));
  }
  for (size_t i = 0; i < count; ++i) {
    auto random = RandomSource::of_trial(seed, static_cast<int64_t>(i));
    directions_.push_back(sobol_directions(i));
    scramble_directions(directions_.back(), random);
    shifts_.push_back(random.bits() & ((1U << kSobolBits) - 1));
  }
}

std::optional<Suggestion> SobolSearcher::suggest(const Study& /*study*/, int64_t number) const {
  const auto index = static_cast<uint64_t>(number) & ((uint64_t{1} << kSobolBits) - 1);
  const uint64_t gray = index ^ (index >> 1U);
  ParameterValues values;
  for (size_t i = 0; i < directions_.size(); ++i) {
    uint32_t point = shifts_[i];
    for (uint32_t bit = 0; bit < kSobolBits; ++bit) {
      if ((gray >> bit & 1U) != 0) point ^= directions_[i][bit];
    }
    const double place = static_cast<double>(point) / static_cast<double>(1U << kSobolBits);
    values[space_.parameters()[i].name] = value_at(space_.parameters()[i].distribution, place);
  }
  return Suggestion{space_.only_active(values), {}};
}

}  // namespace levin
