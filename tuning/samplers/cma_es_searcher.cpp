#include <levin/tuning/samplers/cma_es_searcher.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

constexpr const char* kGeneration = "cma:generation";

/// The ends of a range in the scale in which CMA-ES works: logarithms if it is logarithmic, and
/// half a step beyond the values, so that each of them has the same width.
std::pair<double, double> cma_bounds(const Distribution& range) {
  const double half = range.step() / 2.0;
  if (range.is_log()) return {std::log(range.low() - half), std::log(range.high() + half)};
  return {range.low() - half, range.high() + half};
}

/// A value of the range as a place from 0 to 1 between its bounds.
double place_of_value(const Distribution& range, double value) {
  const auto [low, high] = cma_bounds(range);
  const double scaled = range.is_log() ? std::log(value) : value;
  return std::clamp((scaled - low) / (high - low), 0.0, 1.0);
}

double value_of_place(const Distribution& range, double place) {
  const auto [low, high] = cma_bounds(range);
  const double scaled = low + place * (high - low);
  return range.nearest(range.is_log() ? std::exp(scaled) : scaled);
}

}  // namespace

CmaEsSearcher::CmaEsSearcher(SearchSpace space, uint64_t seed, size_t population_size)
    : space_(std::move(space)), seed_(seed), population_size_(population_size) {
  bool has_one = false;
  for (const SearchParameter& parameter : space_.parameters()) has_one |= is_numeric(parameter);
  if (!has_one) {
    throw ConfigError(
        "CMA-ES varies numbers, and the search space has none that is always there; choose another "
        "searcher, such as tpe");
  }
  CmaEs(std::vector<double>(1, 0.5), 1.0, {{0.0, 1.0}}, population_size_);  // checks the population
}

bool CmaEsSearcher::is_numeric(const SearchParameter& parameter) {
  return !parameter.condition && !parameter.distribution.is_categorical() &&
         !parameter.distribution.is_single();
}

std::vector<double> CmaEsSearcher::point_of(const Trial& trial) const {
  std::vector<double> point;
  for (const SearchParameter& parameter : space_.parameters()) {
    if (!is_numeric(parameter)) continue;
    const auto value = trial.parameters.find(parameter.name);
    if (value != trial.parameters.end()) {
      point.push_back(place_of_value(parameter.distribution, value->second));
    }
  }
  return point;
}

CmaEs CmaEsSearcher::state_after(const Study& study) const {
  const auto count =
      static_cast<size_t>(std::count_if(space_.parameters().begin(), space_.parameters().end(),
                                        [](const auto& p) { return is_numeric(p); }));
  CmaEs state(std::vector<double>(count, 0.5), 1.0 / 6.0,
              std::vector<std::pair<double, double>>(count, {0.0, 1.0}), population_size_);
  std::map<int64_t, std::vector<const Trial*>> generations;
  for (const Trial& trial : study.trials) {
    const auto generation = trial.system_attributes.find(kGeneration);
    if (trial.state != TrialState::complete || trial.values.size() != 1 ||
        generation == trial.system_attributes.end() || !generation->second.is_int() ||
        point_of(trial).size() != count) {
      continue;
    }
    generations[generation->second.as_int()].push_back(&trial);
  }
  const double sign = study.directions[0] == StudyDirection::maximize ? -1.0 : 1.0;
  for (;;) {
    const auto found = generations.find(state.generation());
    if (found == generations.end() || found->second.size() < state.population_size()) return state;
    std::vector<std::vector<double>> points;
    std::vector<double> losses;
    for (size_t i = 0; i < state.population_size(); ++i) {
      points.push_back(point_of(*found->second[i]));
      losses.push_back(sign * found->second[i]->values[0]);
    }
    state.tell(points, losses);
  }
}

std::optional<Suggestion> CmaEsSearcher::suggest(const Study& study, int64_t number) const {
  if (study.directions.size() != 1) {
    throw ConfigError(
        "CMA-ES searches for the best value of one objective; choose tpe for several");
  }
  const CmaEs state = state_after(study);
  auto random = RandomSource::of_trial(seed_, number);
  ParameterValues values = random_values(space_, random);
  const std::vector<double> point = state.ask(random);
  size_t at = 0;
  for (const SearchParameter& parameter : space_.parameters()) {
    if (!is_numeric(parameter)) continue;
    values[parameter.name] = value_of_place(parameter.distribution, point[at++]);
  }
  return Suggestion{space_.only_active(values), {{kGeneration, state.generation()}}};
}

}  // namespace levin
