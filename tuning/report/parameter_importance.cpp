#include <levin/tuning/report/parameter_importance.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <set>

#include <levin/tuning/samplers/pareto_front.h>
#include <levin/tuning/samplers/truncated_normal.h>

namespace levin {
namespace {

constexpr double kTargetQuantile = 0.1;
constexpr int64_t kMostSteps = 50;
constexpr size_t kLeastTrials = 2;  // of one distribution

using TrialList = std::vector<const Trial*>;

/// The complete trials whose values are finite.
TrialList finite_trials(const Study& study) {
  TrialList found;
  for (const Trial& trial : study.trials) {
    const bool is_finite = std::all_of(trial.values.begin(), trial.values.end(),
                                       [](double value) { return std::isfinite(value); });
    if (trial.state == TrialState::complete && is_finite) found.push_back(&trial);
  }
  return found;
}

/// The best tenth of the trials; with one objective, those of the same value as the last of them
/// included.
std::set<const Trial*> best_tenth(const Study& study, const TrialList& trials) {
  const auto count =
      static_cast<size_t>(std::ceil(kTargetQuantile * static_cast<double>(trials.size())));
  LossPoints losses;
  for (const Trial* trial : trials) losses.push_back(losses_of(study, *trial));
  std::set<const Trial*> best;
  if (study.directions.size() > 1) {
    for (const size_t i : best_points(losses, count)) best.insert(trials[i]);
    return best;
  }
  LossPoints sorted = losses;
  std::sort(sorted.begin(), sorted.end());
  for (size_t i = 0; i < trials.size(); ++i) {
    if (losses[i] <= sorted[count - 1]) best.insert(trials[i]);
  }
  return best;
}

/// A number of grid points from the low to the high end of a distribution.
int64_t grid_size_of(const Distribution& distribution) {
  if (distribution.is_categorical()) return static_cast<int64_t>(distribution.choices().size());
  if (distribution.is_int() && distribution.is_log()) {
    const double size = distribution.high() - distribution.low() + 1.0;
    return std::min<int64_t>(static_cast<int64_t>(std::ceil(std::log(size) / std::log(2.0))) + 1,
                             kMostSteps);
  }
  if (distribution.step() == 0.0) return kMostSteps;
  const double steps = (distribution.high() - distribution.low()) / distribution.step();
  return std::min<int64_t>(static_cast<int64_t>(std::nearbyint(steps)) + 1, kMostSteps);
}

/// How many of the trials are at each grid point.
std::vector<double> counts_on_grid(const std::string& name, const Distribution& distribution,
                                   const TrialList& trials, int64_t size) {
  std::vector<double> counts(static_cast<size_t>(size));
  const bool is_log = distribution.is_log();
  const auto scaled = [&](double value) { return is_log ? std::log(value) : value; };
  const double low = scaled(distribution.low());
  const double step = (scaled(distribution.high()) - low) / static_cast<double>(size - 1);
  for (const Trial* trial : trials) {
    const double value = trial->parameters.at(name);
    const double place =
        distribution.is_categorical() ? value : std::ceil((scaled(value) - low) / step - 0.5);
    ++counts[static_cast<size_t>(std::clamp(place, 0.0, static_cast<double>(size - 1)))];
  }
  return counts;
}

/// The width of the kernels by Scott's rule, of weighted grid points.
double scott_width(const std::vector<double>& points, const std::vector<double>& weights) {
  double sum = 0.0;
  double mean = 0.0;
  std::vector<double> cumulated;
  for (size_t i = 0; i < points.size(); ++i) {
    sum += weights[i];
    mean += points[i] * weights[i];
    cumulated.push_back(sum);
  }
  mean /= sum;
  double variance = 0.0;
  for (size_t i = 0; i < points.size(); ++i) {
    variance += (points[i] - mean) * (points[i] - mean) * weights[i];
  }
  const double deviation = std::sqrt(variance / std::max(1.0, sum - 1.0));
  const auto first = std::lower_bound(cumulated.begin(), cumulated.end(), std::floor(sum / 4.0));
  const auto third =
      std::upper_bound(cumulated.begin(), cumulated.end(), std::floor(sum * 3.0 / 4.0));
  const auto at = static_cast<size_t>(first - cumulated.begin());
  const auto to = std::min(points.size() - 1, static_cast<size_t>(third - cumulated.begin()));
  const double width =
      1.059 * std::min((points[to] - points[at]) / 1.34, deviation) * std::pow(sum, -0.2);
  return std::max(width, 0.5 / 1.64);
}

/// The probability of each grid point, as the mixture of a kernel for each point that has trials
/// and of a prior gives it.
std::vector<double> density_on_grid(const std::string& name, const Distribution& distribution,
                                    const TrialList& trials) {
  const int64_t size = grid_size_of(distribution);
  const auto counts = counts_on_grid(name, distribution, trials, size);
  std::vector<double> points;
  std::vector<double> weights;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0.0) continue;
    points.push_back(static_cast<double>(i));
    weights.push_back(counts[i]);
  }
  double total = 1.0;  // the prior's weight
  for (const double weight : weights) total += weight;
  const auto steps = static_cast<double>(size);
  std::vector<double> density(counts.size(), 0.0);
  if (distribution.is_categorical()) {
    const double prior = 1.0 / static_cast<double>(points.size() + 1);
    for (size_t i = 0; i < density.size(); ++i) {
      density[i] = 1.0 / steps / total;
      for (size_t k = 0; k < points.size(); ++k) {
        const double own = points[k] == static_cast<double>(i) ? 1.0 : 0.0;
        density[i] += weights[k] / total * (prior + own) / (1.0 + prior * steps);
      }
    }
    return density;
  }
  const double width = scott_width(points, weights);
  const auto add = [&](double centre, double deviation, double weight) {
    const double inside =
        log_normal_mass((-0.5 - centre) / deviation, (steps - 0.5 - centre) / deviation);
    for (size_t i = 0; i < density.size(); ++i) {
      const double at = static_cast<double>(i) - centre;
      density[i] +=
          weight / total *
          std::exp(log_normal_mass((at - 0.5) / deviation, (at + 0.5) / deviation) - inside);
    }
  };
  for (size_t k = 0; k < points.size(); ++k) add(points[k], width, weights[k]);
  add((steps - 1.0) / 2.0, steps, 1.0);
  return density;
}

double pearson_divergence(const std::string& name, const Distribution& distribution,
                          const TrialList& best, const TrialList& all) {
  const auto top = density_on_grid(name, distribution, best);
  const auto whole = density_on_grid(name, distribution, all);
  double sum = 0.0;
  for (size_t i = 0; i < top.size(); ++i) {
    const double local = whole[i] + 1e-12;
    const double ratio = (top[i] + 1e-12) / local - 1.0;
    sum += local * ratio * ratio;
  }
  return sum;
}

/// The trials that have the parameter, apart for each distribution that it had.
std::vector<std::pair<const Distribution*, TrialList>> by_distribution(const std::string& name,
                                                                       const TrialList& trials) {
  std::vector<std::pair<const Distribution*, TrialList>> groups;
  for (const Trial* trial : trials) {
    const auto had = trial->distributions.find(name);
    if (had == trial->distributions.end()) continue;
    const auto group = std::find_if(groups.begin(), groups.end(),
                                    [&](const auto& each) { return *each.first == had->second; });
    if (group == groups.end()) {
      groups.push_back({&had->second, {trial}});
    } else {
      group->second.push_back(trial);
    }
  }
  return groups;
}

double importance_of(const std::string& name, const TrialList& all,
                     const std::set<const Trial*>& best) {
  double importance = 0.0;
  for (const auto& [distribution, trials] : by_distribution(name, all)) {
    TrialList chosen;
    for (const Trial* trial : trials) {
      if (best.count(trial) > 0) chosen.push_back(trial);
    }
    if (trials.size() < kLeastTrials || distribution->is_single() || chosen.empty()) continue;
    const double among_best = static_cast<double>(chosen.size()) / static_cast<double>(best.size());
    const double among_all = static_cast<double>(trials.size()) / static_cast<double>(all.size());
    importance += among_best * among_best / among_all *
                  pearson_divergence(name, *distribution, chosen, trials);
  }
  return importance;
}

}  // namespace

std::vector<std::pair<std::string, double>> parameter_importances(const Study& study) {
  std::set<std::string> names;
  for (const Trial& trial : study.trials) {
    if (trial.state != TrialState::complete) continue;
    for (const auto& [name, distribution] : trial.distributions) names.insert(name);
  }
  const TrialList trials = finite_trials(study);
  const auto best = trials.size() < 2 ? std::set<const Trial*>() : best_tenth(study, trials);
  std::vector<std::pair<std::string, double>> importances;
  double sum = 0.0;
  for (const auto& name : names) {
    const double importance = best.empty() ? 0.0 : importance_of(name, trials, best);
    importances.emplace_back(name, importance);
    sum += importance;
  }
  for (auto& [name, importance] : importances) {
    importance = sum > 0.0 ? importance / sum : 1.0 / static_cast<double>(importances.size());
  }
  std::stable_sort(importances.begin(), importances.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return importances;
}

}  // namespace levin
