#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <zlib.h>

#include <levin/framework/core/error.h>
#include <levin/tuning/schedulers/pruner.h>

namespace levin {
namespace {

std::string rung_name(int64_t rung) { return fmt::format("completed_rung_{}", rung); }

/// The value that a trial had at a rung that it has completed.
std::optional<double> value_at_rung(const Trial& trial, int64_t rung) {
  const auto found = trial.system_attributes.find(rung_name(rung));
  if (found == trial.system_attributes.end()) return std::nullopt;
  if (!found->second.is_double() && !found->second.is_int()) return std::nullopt;
  return found->second.as_double();
}

/// The last step of the trial that was complete first, which stays the same while others end; -1 if
/// none is complete.
int64_t last_step_of_first_complete(const std::vector<const Trial*>& trials) {
  const auto end_of = [](const Trial& trial) {
    return std::pair(trial.completed.value_or(std::numeric_limits<Microseconds>::max()),
                     trial.number);
  };
  const Trial* first = nullptr;
  for (const Trial* trial : trials) {
    if (trial->state != TrialState::complete || !trial->last_step()) continue;
    if (first == nullptr || end_of(*trial) < end_of(*first)) first = trial;
  }
  return first == nullptr ? -1 : *first->last_step();
}

std::vector<const Trial*> all_trials(const Study& study) {
  std::vector<const Trial*> trials;
  for (const Trial& trial : study.trials) trials.push_back(&trial);
  return trials;
}

/// Whether a value is among the best 1 / factor of those at its rung, its own included; the first
/// ones need to be the best.
bool is_promoted(double value, std::vector<double> competing, int64_t factor, bool up) {
  std::sort(competing.begin(), competing.end());
  const size_t best = competing.size() / static_cast<size_t>(factor);
  const size_t place = best == 0 ? 0 : best - 1;
  return up ? value >= competing[competing.size() - 1 - place] : value <= competing[place];
}

void check_halving(const char* name, int64_t value, int64_t least) {
  if (value >= least) return;
  throw ConfigError::invalid_value(name, std::to_string(value),
                                   fmt::format("must be at least {}", least));
}

}  // namespace

SuccessiveHalvingPruner::SuccessiveHalvingPruner(HalvingOptions options) : options_(options) {
  if (options_.min_resource) check_halving("min_resource", *options_.min_resource, 1);
  check_halving("reduction_factor", options_.reduction_factor, 2);
  check_halving("min_early_stopping_rate", options_.min_early_stopping_rate, 0);
  check_halving("bootstrap_count", options_.bootstrap_count, 0);
  if (options_.bootstrap_count > 0 && !options_.min_resource) {
    throw ConfigError::conflict("bootstrap_count needs min_resource",
                                "Give min_resource a number.");
  }
}

PruningDecision SuccessiveHalvingPruner::decide(const Study& study, const Trial& trial) const {
  return decide_among(study, all_trials(study), trial);
}

PruningDecision SuccessiveHalvingPruner::decide_among(const Study& study,
                                                      const std::vector<const Trial*>& trials,
                                                      const Trial& own) const {
  if (study.directions.size() != 1) {
    throw ConfigError("trials of a study with several objectives can't be stopped by halving");
  }
  const auto step = own.last_step();
  if (!step) return {};
  int64_t least = options_.min_resource.value_or(0);
  if (least == 0) {
    const int64_t last = last_step_of_first_complete(trials);
    if (last < 0) return {};
    least = std::max<int64_t>(last / 100, 1);
  }
  const double value = own.intermediate_values.rbegin()->second;
  const bool up = study.directions[0] == StudyDirection::maximize;
  int64_t rung = 0;
  while (own.system_attributes.count(rung_name(rung)) > 0) ++rung;
  PruningDecision decision;
  for (;; ++rung) {
    const double at = static_cast<double>(least) *
                      std::pow(static_cast<double>(options_.reduction_factor),
                               static_cast<double>(options_.min_early_stopping_rate + rung));
    if (static_cast<double>(*step) < at) return decision;
    decision.prune = true;
    if (std::isnan(value)) return decision;
    decision.attributes[rung_name(rung)] = value;
    std::vector<double> competing{value};
    for (const Trial* trial : trials) {
      if (const auto other = value_at_rung(*trial, rung)) competing.push_back(*other);
    }
    if (static_cast<int64_t>(competing.size()) <= options_.bootstrap_count) return decision;
    if (!is_promoted(value, competing, options_.reduction_factor, up)) return decision;
    decision.prune = false;
  }
}

HyperbandPruner::HyperbandPruner(HyperbandOptions options) : options_(options) {
  check_halving("min_resource", options_.min_resource, 1);
  check_halving("reduction_factor", options_.reduction_factor, 2);
  check_halving("bootstrap_count", options_.bootstrap_count, 0);
  if (options_.max_resource) {
    check_halving("max_resource", *options_.max_resource, options_.min_resource);
  } else if (options_.bootstrap_count > 0) {
    throw ConfigError::conflict("bootstrap_count needs max_resource",
                                "Give max_resource a number.");
  }
}

std::vector<int64_t> HyperbandPruner::budgets(const Study& study) const {
  int64_t most = options_.max_resource.value_or(0);
  if (most == 0) most = last_step_of_first_complete(all_trials(study)) + 1;
  if (most < options_.min_resource) return {};
  const double ratio = static_cast<double>(most) / static_cast<double>(options_.min_resource);
  const auto factor = static_cast<double>(options_.reduction_factor);
  const auto brackets = static_cast<int64_t>(std::log(ratio) / std::log(factor)) + 1;
  std::vector<int64_t> budgets;
  for (int64_t bracket = 0; bracket < brackets; ++bracket) {
    const auto s = static_cast<double>(brackets - 1 - bracket);
    const double share = static_cast<double>(brackets) * std::pow(factor, s) / (s + 1.0);
    budgets.push_back(static_cast<int64_t>(std::ceil(share)));
  }
  return budgets;
}

PruningDecision HyperbandPruner::decide(const Study& study, const Trial& trial) const {
  const std::vector<int64_t> shares = budgets(study);
  if (shares.empty()) return {};
  int64_t total = 0;
  for (const int64_t share : shares) total += share;
  const auto bracket_of = [&](const Trial& of) {
    const std::string key = fmt::format("{}_{}", study.name, of.number);
    const auto* bytes = reinterpret_cast<const unsigned char*>(key.data());
    auto rest = static_cast<int64_t>(::crc32(0, bytes, static_cast<uInt>(key.size()))) % total;
    int64_t bracket = 0;
    while (rest >= shares[static_cast<size_t>(bracket)]) {
      rest -= shares[static_cast<size_t>(bracket++)];
    }
    return bracket;
  };
  const int64_t own = bracket_of(trial);
  std::vector<const Trial*> members;
  for (const Trial& other : study.trials) {
    if (bracket_of(other) == own) members.push_back(&other);
  }
  const SuccessiveHalvingPruner halving({.min_resource = options_.min_resource,
                                         .reduction_factor = options_.reduction_factor,
                                         .min_early_stopping_rate = own,
                                         .bootstrap_count = options_.bootstrap_count});
  return halving.decide_among(study, members, trial);
}

}  // namespace levin
