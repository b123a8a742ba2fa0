#include <levin/tuning/samplers/tpe_searcher.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/tuning/samplers/pareto_front.h>
#include <levin/tuning/samplers/parzen_estimator.h>
#include <levin/tuning/space/python_json.h>

namespace levin {
namespace {

void sort_by_number(std::vector<const Trial*>& trials) {
  std::sort(trials.begin(), trials.end(),
            [](const Trial* a, const Trial* b) { return a->number < b->number; });
}

/// How good a pruned trial is: smaller is better.
std::pair<double, double> pruned_rank(const Study& study, const Trial& trial) {
  if (trial.intermediate_values.empty()) return {1.0, 0.0};
  const auto& [step, value] = *trial.intermediate_values.rbegin();
  const double behind = -static_cast<double>(step);
  if (std::isnan(value)) return {behind, std::numeric_limits<double>::infinity()};
  return {behind, study.directions.at(0) == StudyDirection::maximize ? -value : value};
}

/// The values that a process of Optuna has chosen together for a trial that still runs, and of
/// which it has recorded only some as parameters so far.
void add_relative_parameters(const Trial& trial, const std::vector<const SearchParameter*>& wanted,
                             ParameterValues& values) {
  std::string text;
  for (int chunk = 0;; ++chunk) {
    const auto found = trial.system_attributes.find(fmt::format("tpe:relative_params:{}", chunk));
    if (found == trial.system_attributes.end() || !found->second.is_string()) break;
    text += found->second.as_string();
  }
  if (text.empty()) return;
  Value relative;
  try {
    relative = from_python_json(text);
  } catch (const DataError&) {
    return;  // its process hasn't written all of it yet
  }
  for (const SearchParameter* parameter : wanted) {
    if (!relative.contains(parameter->name)) continue;
    const auto value = parameter->distribution.to_internal(relative.at(parameter->name));
    if (value) values.emplace(parameter->name, *value);
  }
}

/// The values of these parameters in the trials that have all of them, [trials][parameters].
std::vector<std::vector<double>> observations_of(
    const std::vector<const Trial*>& trials, const std::vector<const SearchParameter*>& wanted) {
  std::vector<std::vector<double>> rows;
  for (const Trial* trial : trials) {
    ParameterValues values = trial->parameters;
    if (!is_finished(trial->state)) add_relative_parameters(*trial, wanted, values);
    std::vector<double> row;
    for (const SearchParameter* parameter : wanted) {
      const auto value = values.find(parameter->name);
      if (value == values.end()) continue;
      const Distribution& distribution = parameter->distribution;
      const bool is_usable = distribution.is_categorical()
                                 ? distribution.contains(value->second)
                                 : !distribution.is_log() || value->second > 0.0;
      if (is_usable) row.push_back(value->second);
    }
    if (row.size() == wanted.size()) rows.push_back(std::move(row));
  }
  return rows;
}

size_t good_count(size_t ended, bool has_one_objective) {
  const auto count = static_cast<size_t>(std::ceil(0.1 * static_cast<double>(ended)));
  return has_one_objective ? std::min<size_t>(count, 25) : count;
}

}  // namespace

TrialSplit split_trials(const Study& study, const std::vector<const Trial*>& trials, size_t count) {
  std::vector<const Trial*> complete;
  std::vector<const Trial*> pruned;
  for (const Trial* trial : trials) {
    (trial->state == TrialState::complete ? complete : pruned).push_back(trial);
  }
  std::vector<const Trial*> ranked;
  if (study.directions.size() == 1) {
    const double sign = study.directions[0] == StudyDirection::maximize ? -1.0 : 1.0;
    ranked = complete;
    std::stable_sort(ranked.begin(), ranked.end(), [sign](const Trial* a, const Trial* b) {
      return sign * a->values.at(0) < sign * b->values.at(0);
    });
    std::stable_sort(pruned.begin(), pruned.end(), [&](const Trial* a, const Trial* b) {
      return pruned_rank(study, *a) < pruned_rank(study, *b);
    });
  } else {
    LossPoints points;
    for (const Trial* trial : complete) points.push_back(losses_of(study, *trial));
    const std::vector<size_t> best = best_points(points, count);
    for (const size_t i : best) ranked.push_back(complete[i]);
    for (size_t i = 0; i < complete.size(); ++i) {
      if (!std::binary_search(best.begin(), best.end(), i)) ranked.push_back(complete[i]);
    }
  }
  ranked.insert(ranked.end(), pruned.begin(), pruned.end());
  const auto middle = ranked.begin() + static_cast<std::ptrdiff_t>(std::min(count, ranked.size()));
  TrialSplit split{{ranked.begin(), middle}, {middle, ranked.end()}};
  sort_by_number(split.good);
  sort_by_number(split.bad);
  return split;
}

TpeSearcher::TpeSearcher(SearchSpace space, TpeOptions options)
    : space_(std::move(space)), options_(options) {
  const auto check = [](const char* name, int64_t value, int64_t least) {
    if (value >= least) return;
    throw ConfigError::invalid_value(name, std::to_string(value),
                                     fmt::format("must be at least {}", least));
  };
  check("startup_trials", options_.startup_trials, 0);
  check("candidates", options_.candidates, 1);
  check("lag", options_.lag, 0);
}

bool TpeSearcher::has_ended(const Trial& trial, int64_t number) const {
  if (options_.lag > 0 && trial.number > number - options_.lag) return false;
  if (trial.state == TrialState::waiting) return !trial.intermediate_values.empty();  // it pauses
  return trial.state == TrialState::complete || trial.state == TrialState::pruned;
}

bool TpeSearcher::is_ready(const Study& study, int64_t number) const {
  if (options_.lag == 0) return true;
  return std::all_of(study.trials.begin(), study.trials.end(), [&](const Trial& trial) {
    if (trial.number >= number || is_finished(trial.state)) return true;
    // What a trial was given is known a moment after it has begun.
    return trial.number > number - options_.lag && !trial.parameters.empty();
  });
}

// With a lag, it must not matter which of the last trials have ended, or failed, by now.
bool TpeSearcher::counts_as_running(const Trial& trial, int64_t number) const {
  if (!options_.constant_liar || has_ended(trial, number)) return false;
  if (options_.lag == 0) return trial.state == TrialState::running;
  return trial.number < number && trial.number > number - options_.lag;
}

std::vector<const SearchParameter*> TpeSearcher::common_parameters(const Study& study,
                                                                   int64_t number) const {
  std::vector<const SearchParameter*> common;
  bool has_trials = false;
  for (const SearchParameter& parameter : space_.parameters()) {
    if (!parameter.distribution.is_single()) common.push_back(&parameter);
  }
  for (const Trial& trial : study.trials) {
    if (!has_ended(trial, number)) continue;
    has_trials = true;
    common.erase(std::remove_if(common.begin(), common.end(),
                                [&](const SearchParameter* parameter) {
                                  const auto had = trial.distributions.find(parameter->name);
                                  return had == trial.distributions.end() ||
                                         !(had->second == parameter->distribution);
                                }),
                 common.end());
  }
  if (!has_trials) return {};
  std::sort(common.begin(), common.end(),
            [](const auto* a, const auto* b) { return a->name < b->name; });
  return common;
}

ParameterValues TpeSearcher::choose(const Study& study, int64_t number,
                                    const std::vector<const SearchParameter*>& parameters,
                                    RandomSource& random) const {
  std::vector<const Trial*> ended;
  std::vector<const Trial*> running;
  for (const Trial& trial : study.trials) {
    if (trial.number == number) continue;
    if (has_ended(trial, number)) {
      ended.push_back(&trial);
    } else if (counts_as_running(trial, number)) {
      running.push_back(&trial);
    }
  }
  const bool has_one_objective = study.directions.size() == 1;
  TrialSplit split = split_trials(study, ended, good_count(ended.size(), has_one_objective));
  split.bad.insert(split.bad.end(), running.begin(), running.end());
  sort_by_number(split.bad);

  std::vector<Distribution> distributions;
  for (const SearchParameter* parameter : parameters) {
    distributions.push_back(parameter->distribution);
  }
  const ParzenEstimator good(distributions, observations_of(split.good, parameters),
                             !has_one_objective);
  const ParzenEstimator bad(distributions, observations_of(split.bad, parameters));
  const auto points = good.sample(random, static_cast<size_t>(options_.candidates));
  double most = -std::numeric_limits<double>::infinity();
  const std::vector<double>* best = &points.front();
  for (const auto& point : points) {
    const double ratio = good.log_density(point) - bad.log_density(point);
    if (ratio > most) {
      most = ratio;
      best = &point;
    }
  }
  ParameterValues chosen;
  for (size_t i = 0; i < parameters.size(); ++i) chosen[parameters[i]->name] = (*best)[i];
  return chosen;
}

std::optional<Suggestion> TpeSearcher::suggest(const Study& study, int64_t number) const {
  auto random = RandomSource::of_trial(options_.seed, number);
  const ParameterValues startup = random_values(space_, random);
  const auto ended = std::count_if(study.trials.begin(), study.trials.end(),
                                   [&](const Trial& trial) { return has_ended(trial, number); });
  if (ended < options_.startup_trials) return Suggestion{space_.only_active(startup), {}};

  ParameterValues together;
  if (options_.multivariate.value_or(study.directions.size() == 1)) {
    const auto common = common_parameters(study, number);
    if (!common.empty()) together = choose(study, number, common, random);
  }
  ParameterValues values;
  for (const SearchParameter& parameter : space_.parameters()) {
    if (!space_.is_active(parameter, values)) continue;
    const auto found = together.find(parameter.name);
    if (found != together.end()) {
      values.insert(*found);
    } else if (parameter.distribution.is_single()) {
      values[parameter.name] = parameter.distribution.low();
    } else {
      values.merge(choose(study, number, {&parameter}, random));
    }
  }
  return Suggestion{values, {}};
}

}  // namespace levin
