#include <levin/tuning/schedulers/asha.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

std::optional<double> number_attribute_of(const Trial& trial, const std::string& name) {
  const auto found = trial.system_attributes.find(name);
  if (found == trial.system_attributes.end()) return std::nullopt;
  if (!found->second.is_int() && !found->second.is_double()) return std::nullopt;
  return found->second.as_double();
}

}  // namespace

Asha::Asha(AshaOptions options) : options_(options) {
  const auto check = [](const char* name, int64_t value, int64_t least) {
    if (value >= least) return;
    throw ConfigError::invalid_value(name, std::to_string(value),
                                     fmt::format("must be at least {}", least));
  };
  check("min_resource", options_.min_resource, 1);
  check("max_resource", options_.max_resource, options_.min_resource);
  check("reduction_factor", options_.reduction_factor, 2);
}

std::string Asha::value_attribute(int64_t rung) { return fmt::format("completed_rung_{}", rung); }

int64_t Asha::rungs() const {
  int64_t count = 1;
  for (int64_t step = options_.min_resource; step < options_.max_resource; ++count) {
    if (step > options_.max_resource / options_.reduction_factor) return count + 1;
    step *= options_.reduction_factor;
  }
  return count;
}

int64_t Asha::step_of(int64_t rung) const {
  if (rung + 1 >= rungs()) return options_.max_resource;
  int64_t step = options_.min_resource;
  for (int64_t i = 0; i < rung; ++i) step *= options_.reduction_factor;
  return step;
}

bool Asha::is_paused(const Trial& trial) {
  if (trial.state != TrialState::waiting) return false;
  const auto rung = number_attribute_of(trial, rung_attribute);
  return rung && number_attribute_of(trial, value_attribute(static_cast<int64_t>(*rung)));
}

int64_t Asha::rung_to_train(const Trial& trial) {
  const auto rung = number_attribute_of(trial, rung_attribute);
  if (!rung) return 0;
  const auto at = static_cast<int64_t>(*rung);
  return number_attribute_of(trial, value_attribute(at)) ? at + 1 : at;
}

AshaJob Asha::next(const Study& study) const {
  if (study.directions.size() != 1) {
    throw ConfigError(
        "successive halving compares the values of one objective; the study has more");
  }
  const double sign = study.directions[0] == StudyDirection::maximize ? -1.0 : 1.0;
  for (int64_t rung = rungs() - 2; rung >= 0; --rung) {
    std::vector<std::pair<double, const Trial*>> reached;
    for (const Trial& trial : study.trials) {
      if (trial.state == TrialState::fail) continue;  // another trial may have taken over from it
      const auto value = number_attribute_of(trial, value_attribute(rung));
      if (value && !std::isnan(*value)) reached.emplace_back(sign * *value, &trial);
    }
    std::stable_sort(reached.begin(), reached.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    const size_t promoted = reached.size() / static_cast<size_t>(options_.reduction_factor);
    for (size_t i = 0; i < promoted; ++i) {
      const Trial& trial = *reached[i].second;
      const auto own = number_attribute_of(trial, rung_attribute);
      if (is_paused(trial) && own == static_cast<double>(rung)) {
        return {trial.number, rung + 1, step_of(rung + 1)};
      }
    }
  }
  return {std::nullopt, 0, step_of(0)};
}

std::optional<int64_t> Asha::winner(const Study& study) const {
  const double sign =
      !study.directions.empty() && study.directions[0] == StudyDirection::maximize ? -1.0 : 1.0;
  std::optional<int64_t> best;
  double best_rung = -1.0;
  double best_loss = 0.0;
  for (const Trial& trial : study.trials) {
    if (trial.state == TrialState::complete) return std::nullopt;
    if (!is_paused(trial)) continue;
    const double rung = *number_attribute_of(trial, rung_attribute);
    const double loss =
        sign * *number_attribute_of(trial, value_attribute(static_cast<int64_t>(rung)));
    if (std::isnan(loss) || rung < best_rung || (rung == best_rung && loss >= best_loss)) continue;
    best = trial.number;
    best_rung = rung;
    best_loss = loss;
  }
  return best;
}

}  // namespace levin
