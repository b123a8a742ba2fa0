#include <levin/tuning/schedulers/staged_searchers.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/tuning/schedulers/halving_schedule.h>

namespace levin {
namespace {

std::optional<int64_t> place_of_trial(const Trial& trial) {
  const auto place = trial.system_attributes.find(kPlaceAttribute);
  if (place == trial.system_attributes.end() || !place->second.is_int()) return std::nullopt;
  return place->second.as_int();
}

double value_of_trial(const Trial& trial) {
  return trial.state == TrialState::fail || trial.values.empty()
             ? std::numeric_limits<double>::quiet_NaN()
             : trial.values.front();
}

/// The trials at the places from `begin` to `end`: of several at a place, the last one that didn't
/// fail. Empty if one of them is missing or hasn't ended.
std::vector<const Trial*> ended_trials(const Study& study, int64_t begin, int64_t end) {
  std::vector<const Trial*> found(static_cast<size_t>(end - begin));
  for (const Trial& trial : study.trials) {
    const auto place = place_of_trial(trial);
    if (!place || *place < begin || *place >= end) continue;
    if (!is_finished(trial.state)) return {};
    const Trial*& kept = found[static_cast<size_t>(*place - begin)];
    if (kept == nullptr || trial.state != TrialState::fail) kept = &trial;
  }
  if (std::count(found.begin(), found.end(), nullptr) > 0) return {};
  return found;
}

std::vector<StagedSearcher::Stage> population_stages(int64_t population, int64_t interval,
                                                     int64_t max_epochs) {
  const auto check = [](const char* name, int64_t value, int64_t least) {
    if (value >= least) return;
    throw ConfigError::invalid_value(name, std::to_string(value),
                                     fmt::format("must be at least {}", least));
  };
  check("population", population, 2);
  check("interval", interval, 1);
  check("max_epochs", max_epochs, 1);
  std::vector<StagedSearcher::Stage> stages;
  for (int64_t epochs = 0; epochs < max_epochs;) {
    epochs = std::min(epochs + interval, max_epochs);
    stages.push_back({population, epochs});
  }
  return stages;
}

std::vector<StagedSearcher::Stage> halving_stages(int64_t candidates, int64_t min_epochs,
                                                  int64_t max_epochs, double factor) {
  std::vector<StagedSearcher::Stage> stages;
  for (const auto& each : halving_schedule({.candidates = candidates,
                          .max_resources = max_epochs,
                          .min_resources = std::max<int64_t>(min_epochs, 1),
                          .exhaust = min_epochs == 0,
                          .factor = factor})) {
    stages.push_back({each.candidates, each.resources});
  }
  return stages;
}

}  // namespace

int64_t StagedSearcher::size() const {
  int64_t size = 0;
  for (const Stage& stage : stages_) size += stage.trials;
  return size;
}

bool StagedSearcher::is_ready(const Study& study, int64_t number) const {
  int64_t begin = 0;
  for (size_t i = 0; i + 1 < stages_.size(); ++i) {
    const int64_t end = begin + stages_[i].trials;
    if (number < end) return true;
    if (number < end + stages_[i + 1].trials) return !ended_trials(study, begin, end).empty();
    begin = end;
  }
  return true;
}

std::optional<Suggestion> StagedSearcher::suggest(const Study& study, int64_t number) const {
  int64_t begin = 0;
  size_t stage = 0;
  while (stage < stages_.size() && number >= begin + stages_[stage].trials) {
    begin += stages_[stage++].trials;
  }
  if (stage == stages_.size()) return std::nullopt;
  Suggestion suggestion;
  Choice choice;
  if (stage == 0) {
    auto parameters = first(study, number);
    if (!parameters) return std::nullopt;
    choice.parameters = std::move(*parameters);
  } else {
    const auto before = ended_trials(study, begin - stages_[stage - 1].trials, begin);
    if (before.empty()) throw Error("the stage before hasn't ended");
    choice = next(study, stage, number - begin, before);
  }
  suggestion.parameters = std::move(choice.parameters);
  auto& attributes = suggestion.system_attributes;
  attributes[kPlaceAttribute] = number;
  attributes[kUntilEpochAttribute] = stages_[stage].until_epoch;
  attributes[kIsFinalAttribute] = stage + 1 == stages_.size();
  if (choice.source != nullptr) attributes[kGoesOnFromAttribute] = choice.source->number;
  return suggestion;
}

PopulationSearcher::PopulationSearcher(SearchSpace space, int64_t population, int64_t interval,
                                       int64_t max_epochs, PopulationOptions options)
    : StagedSearcher(population_stages(population, interval, max_epochs)),
      space_(std::move(space)),
      options_(options) {}

std::optional<ParameterValues> PopulationSearcher::first(const Study&, int64_t index) const {
  auto random = RandomSource::of_trial(options_.seed, index);
  return space_.only_active(random_values(space_, random));
}

StagedSearcher::Choice PopulationSearcher::next(const Study& study, size_t stage, int64_t index,
                                                const std::vector<const Trial*>& before) const {
  std::vector<PopulationMember> members;
  for (const Trial* trial : before) {
    members.push_back(
        {static_cast<int64_t>(members.size()), value_of_trial(*trial), trial->parameters});
  }
  const auto own = static_cast<size_t>(index);
  const auto exchange = exchange_in_population(space_, members, own, study.directions.front(),
                                               static_cast<int64_t>(stage), options_);
  if (!exchange) return {before[own]->parameters, before[own]};
  return {exchange->parameters, before[exchange->source]};
}

HalvingSearcher::HalvingSearcher(std::unique_ptr<Searcher> source, int64_t candidates,
                                 int64_t min_epochs, int64_t max_epochs, double factor)
    : StagedSearcher(halving_stages(candidates, min_epochs, max_epochs, factor)),
      source_(std::move(source)) {}

std::optional<ParameterValues> HalvingSearcher::first(const Study& study, int64_t index) const {
  auto suggestion = source_->suggest(study, index);
  if (!suggestion) return std::nullopt;
  return std::move(suggestion->parameters);
}

StagedSearcher::Choice HalvingSearcher::next(const Study& study, size_t stage, int64_t index,
                                             const std::vector<const Trial*>& before) const {
  const double sign = study.directions.front() == StudyDirection::maximize ? 1.0 : -1.0;
  std::vector<double> scores;
  for (const Trial* trial : before) scores.push_back(sign * value_of_trial(*trial));
  const auto kept = best_candidates(scores, static_cast<size_t>(stages()[stage].trials));
  const Trial* const source = before[kept[kept.size() - 1 - static_cast<size_t>(index)]];
  return {source->parameters, source};
}

}  // namespace levin
