#include <levin/tuning/study/journal_replay.h>

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/number_in.h>

namespace levin {
namespace {

const Value* member_of(const Value& line, std::string_view name) {
  if (!line.contains(name)) return nullptr;
  const Value& member = line.at(name);
  return member.is_null() ? nullptr : &member;
}

TrialState state_from(const Value& number) {
  const int64_t state = number.as_int();
  if (state < 0 || state > 4) throw DataError(fmt::format("unknown state {} of a trial", state));
  return static_cast<TrialState>(state);
}

StudyDirection direction_from(const Value& number) {
  const int64_t direction = number.as_int();
  if (direction < 0 || direction > 2) {
    throw DataError(fmt::format("unknown direction {} of a study", direction));
  }
  return static_cast<StudyDirection>(direction);
}

std::vector<double> numbers_from(const Value& list) {
  std::vector<double> numbers;
  for (const Value& number : list.as_array()) numbers.push_back(number.as_double());
  return numbers;
}

int64_t step_from(const std::string& text) {
  if (const auto step = number_in<int64_t>(text)) return *step;
  throw DataError(fmt::format("'{}' is not a step", shortened(text, 40)));
}

/// The parameters, attributes and values that a trial has from its beginning, if it was added
/// whole.
void read_added_trial(const Value& line, Trial& trial) {
  if (const Value* distributions = member_of(line, "distributions")) {
    for (const auto& [name, json] : distributions->as_object()) {
      trial.distributions.emplace(name, Distribution::from_json(json.as_string()));
    }
  }
  if (const Value* parameters = member_of(line, "params")) {
    for (const auto& [name, value] : parameters->as_object()) {
      if (trial.distributions.count(name) == 0) {
        throw DataError(fmt::format("the parameter {} has no distribution", shortened(name, 60)));
      }
      trial.parameters[name] = value.as_double();
    }
  }
  if (const Value* value = member_of(line, "value")) trial.values = {value->as_double()};
  if (const Value* values = member_of(line, "values")) trial.values = numbers_from(*values);
  if (const Value* steps = member_of(line, "intermediate_values")) {
    for (const auto& [step, value] : steps->as_object()) {
      trial.intermediate_values[step_from(step)] = value.as_double();
    }
  }
  if (const Value* user = member_of(line, "user_attrs")) trial.user_attributes = user->as_object();
  if (const Value* system = member_of(line, "system_attrs")) {
    trial.system_attributes = system->as_object();
  }
  if (const Value* time = member_of(line, "datetime_complete")) {
    trial.completed = from_iso_time(time->as_string());
  }
}

/// Others may rely on a complete trial having a value for each objective.
void check_values(const Study& study, const Trial& trial) {
  if (trial.state != TrialState::complete || trial.values.size() == study.directions.size()) return;
  throw DataError(fmt::format(
      "trial {} of study '{}' is complete, but has {} values for {} objectives", trial.number,
      shortened(study.name, 60), trial.values.size(), study.directions.size()));
}

bool set_attributes(Value::Object& attributes, const Value& given) {
  for (const auto& [name, value] : given.as_object()) attributes[name] = value;
  return true;
}

}  // namespace

std::vector<const Study*> JournalReplay::studies() const {
  std::vector<const Study*> there;
  for (const KeptStudy& kept : studies_) {
    if (!kept.is_deleted) there.push_back(&kept.study);
  }
  return there;
}

const Study* JournalReplay::study(int64_t id) const {
  if (id < 0 || static_cast<size_t>(id) >= studies_.size()) return nullptr;
  const KeptStudy& kept = studies_[static_cast<size_t>(id)];
  return kept.is_deleted ? nullptr : &kept.study;
}

const Study* JournalReplay::study(std::string_view name) const {
  for (const Study* study : studies()) {
    if (study->name == name) return study;
  }
  return nullptr;
}

const Trial* JournalReplay::trial(int64_t id) const {
  if (id < 0 || static_cast<size_t>(id) >= trials_.size()) return nullptr;
  const TrialPlace& place = trials_[static_cast<size_t>(id)];
  return &studies_[place.study].study.trials[place.number];
}

const Study* JournalReplay::study_of_trial(int64_t trial_id) const {
  if (trial(trial_id) == nullptr) return nullptr;
  return study(static_cast<int64_t>(trials_[static_cast<size_t>(trial_id)].study));
}

std::string_view JournalReplay::worker_of(int64_t trial_id) const {
  if (trial(trial_id) == nullptr) return {};
  return trials_[static_cast<size_t>(trial_id)].worker;
}

Study* JournalReplay::existing_study(const Value& line) {
  const int64_t id = line.at("study_id").as_int();
  return study(id) == nullptr ? nullptr : &studies_[static_cast<size_t>(id)].study;
}

Trial* JournalReplay::updatable_trial(const Value& line) {
  const int64_t id = line.at("trial_id").as_int();
  const Trial* found = trial(id);
  if (found == nullptr || is_finished(found->state)) return nullptr;
  const TrialPlace& place = trials_[static_cast<size_t>(id)];
  return &studies_[place.study].study.trials[place.number];
}

bool JournalReplay::apply(const Value& line) {
  const int64_t code = line.at("op_code").as_int();
  switch (static_cast<Operation>(std::clamp<int64_t>(code, 0, 255))) {
    case Operation::create_study:
      return create_study(line);
    case Operation::delete_study: {
      Study* study = existing_study(line);
      if (study != nullptr) studies_[static_cast<size_t>(study->id)].is_deleted = true;
      return study != nullptr;
    }
    case Operation::set_study_user_attribute: {
      Study* study = existing_study(line);
      return study != nullptr && set_attributes(study->user_attributes, line.at("user_attr"));
    }
    case Operation::set_study_system_attribute: {
      Study* study = existing_study(line);
      return study != nullptr && set_attributes(study->system_attributes, line.at("system_attr"));
    }
    case Operation::create_trial:
      return create_trial(line);
    case Operation::set_trial_parameter:
      return set_parameter(line);
    case Operation::set_trial_state_values:
      return set_state(line);
    case Operation::set_trial_intermediate_value:
      return set_intermediate_value(line);
    case Operation::set_trial_user_attribute: {
      Trial* trial = updatable_trial(line);
      return trial != nullptr && set_attributes(trial->user_attributes, line.at("user_attr"));
    }
    case Operation::set_trial_system_attribute: {
      Trial* trial = updatable_trial(line);
      return trial != nullptr && set_attributes(trial->system_attributes, line.at("system_attr"));
    }
    case Operation::discard_trials:
      return false;
  }
  throw DataError(fmt::format("unknown operation {}", code));
}

bool JournalReplay::create_study(const Value& line) {
  const std::string& name = line.at("study_name").as_string();
  std::vector<StudyDirection> directions;
  for (const Value& direction : line.at("directions").as_array()) {
    directions.push_back(direction_from(direction));
  }
  if (study(name) != nullptr) return false;
  KeptStudy kept;
  kept.study.id = static_cast<int64_t>(studies_.size());
  kept.study.name = name;
  kept.study.directions = std::move(directions);
  studies_.push_back(std::move(kept));
  return true;
}

bool JournalReplay::create_trial(const Value& line) {
  Study* study = existing_study(line);
  if (study == nullptr) return false;
  Trial trial;
  trial.id = trial_count();
  trial.number = static_cast<int64_t>(study->trials.size());
  if (const Value* state = member_of(line, "state")) trial.state = state_from(*state);
  if (const Value* time = member_of(line, "datetime_start")) {
    trial.started = from_iso_time(time->as_string());
  }
  read_added_trial(line, trial);
  TrialPlace place{static_cast<size_t>(study->id), study->trials.size(), {}};
  check_values(*study, trial);
  if (trial.state == TrialState::running) place.worker = line.at("worker_id").as_string();
  study->trials.push_back(std::move(trial));
  trials_.push_back(std::move(place));
  return true;
}

bool JournalReplay::set_parameter(const Value& line) {
  Trial* trial = updatable_trial(line);
  if (trial == nullptr) return false;
  const std::string& name = line.at("param_name").as_string();
  const double value = line.at("param_value_internal").as_double();
  const auto distribution = Distribution::from_json(line.at("distribution").as_string());
  const Study& study = studies_[trials_[static_cast<size_t>(trial->id)].study].study;
  for (const Trial& earlier : study.trials) {
    const auto had = earlier.distributions.find(name);
    if (had == earlier.distributions.end()) continue;
    if (!had->second.is_compatible(distribution)) return false;
    break;
  }
  trial->parameters[name] = value;
  trial->distributions.insert_or_assign(name, distribution);
  return true;
}

bool JournalReplay::set_state(const Value& line) {
  Trial* trial = updatable_trial(line);
  if (trial == nullptr) return false;
  const TrialState state = state_from(line.at("state"));
  if (state == TrialState::running) {
    if (trial->state == TrialState::running) return false;  // another process was first
    trial->started = from_iso_time(line.at("datetime_start").as_string());
    trials_[static_cast<size_t>(trial->id)].worker = line.at("worker_id").as_string();
  }
  if (is_finished(state))
    trial->completed = from_iso_time(line.at("datetime_complete").as_string());
  trial->state = state;
  if (const Value* values = member_of(line, "values")) trial->values = numbers_from(*values);
  check_values(studies_[trials_[static_cast<size_t>(trial->id)].study].study, *trial);
  return true;
}

bool JournalReplay::set_intermediate_value(const Value& line) {
  Trial* trial = updatable_trial(line);
  if (trial == nullptr) return false;
  trial->intermediate_values[line.at("step").as_int()] = line.at("intermediate_value").as_double();
  return true;
}

}  // namespace levin
