#include <levin/tuning/study/study_file.h>

#include <cmath>
#include <random>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/tuning/study/process_identity.h>

namespace levin {
namespace {

using Operation = JournalReplay::Operation;

constexpr char kIdentityMark = '@';

/// A name that no other process has: a random UUID, and what tells whether the process has ended.
std::string unique_worker_id() {
  std::random_device random;
  const auto word = [&] { return static_cast<uint32_t>(random()); };
  return fmt::format("{:08x}-{:04x}-4{:03x}-{:04x}-{:08x}{:04x}{}{}", word(), word() & 0xFFFFU,
                     word() & 0xFFFU, 0x8000U | (word() & 0x3FFFU), word(), word() & 0xFFFFU,
                     kIdentityMark, process_identity());
}

std::string journal_now() {
  return to_iso_time(static_cast<Microseconds>(files::wall_seconds() * 1e6));
}

Value numbers_to_value(const std::vector<double>& numbers) {
  return Value::Array(numbers.begin(), numbers.end());
}

/// Adds to a line what a trial has from its beginning.
void describe_whole_trial(const Trial& trial, Value& line) {
  const bool runs = trial.state == TrialState::running;
  line["state"] = static_cast<int>(runs ? TrialState::waiting : trial.state);
  line["datetime_start"] = trial.started ? Value(to_iso_time(*trial.started)) : Value();
  line["datetime_complete"] = trial.completed ? Value(to_iso_time(*trial.completed)) : Value();
  line["value"] = Value();
  line["values"] = trial.values.empty() ? Value() : numbers_to_value(trial.values);
  for (const char* key : {"distributions", "params", "intermediate_values"}) {
    line[key] = Value::Object{};
  }
  for (const auto& [name, value] : trial.parameters) {
    line["params"][name] = value;
    line["distributions"][name] = trial.distributions.at(name).to_json();
  }
  for (const auto& [step, value] : trial.intermediate_values) {
    line["intermediate_values"][std::to_string(step)] = value;
  }
  line["user_attrs"] = trial.user_attributes;
  line["system_attrs"] = trial.system_attributes;
}

bool always_wanted(const Study& /*study*/) { return true; }

[[noreturn]] void fail_no_study(int64_t study) {
  throw ConfigError(
      fmt::format("study {}: there is no such study; it may have been deleted", study));
}

}  // namespace

StudyFile::StudyFile(const std::filesystem::path& path)
    : file_(path), worker_(unique_worker_id()), silent_(path) {
  refresh();
}

void StudyFile::refresh() {
  own_effects_.clear();
  for (const Value& line : file_.read_new()) {
    try {
      const bool own = line.contains("worker_id") && line.at("worker_id") == Value(worker_);
      const int64_t trials = replay_.trial_count();
      const bool had_effect = replay_.apply(line);
      if (own) own_effects_.push_back(had_effect);
      if (own && replay_.trial_count() > trials) last_created_ = trials;
    } catch (const Error& error) {
      throw DataError::corrupt(file_.path().string(), error.what());
    }
  }
}

Value StudyFile::line_of(Operation operation) const {
  return Value::Object{{"op_code", static_cast<int>(operation)}, {"worker_id", worker_}};
}

std::vector<bool> StudyFile::write(const std::vector<Value>& lines) {
  refresh();
  file_.append(lines);
  refresh();
  return own_effects_;
}

int64_t StudyFile::open_study(const std::string& name,
                              const std::vector<StudyDirection>& directions) {
  refresh();
  const Study* study = replay_.study(name);
  if (study == nullptr) {
    Value line = line_of(Operation::create_study);
    line["study_name"] = name;
    line["directions"] = Value::Array{};
    for (const StudyDirection direction : directions) {
      line["directions"].as_array().push_back(static_cast<int>(direction));
    }
    write({line});
    study = replay_.study(name);
    if (study == nullptr) throw ConfigError(fmt::format("study '{}' was deleted at once", name));
  }
  if (study->directions != directions) {
    throw ConfigError(fmt::format(
        "study '{}' in '{}' has other directions than were asked for; choose another name for the "
        "new study, or ask for the directions that it has",
        name, file_.path().string()));
  }
  return study->id;
}

int64_t StudyFile::add_study(const Study& study) {
  refresh();
  if (replay_.study(study.name) != nullptr) {
    throw ConfigError(fmt::format("'{}' has a study of the name '{}' already; take another file",
                                  file_.path().string(), study.name));
  }
  const int64_t id = open_study(study.name, study.directions);
  std::vector<Value> lines;
  const auto add_attribute = [&](Operation operation, const char* key, const std::string& name,
                                 const Value& value) {
    lines.push_back(line_of(operation));
    lines.back()["study_id"] = id;
    lines.back()[key][name] = value;
  };
  for (const auto& [name, value] : study.user_attributes) {
    add_attribute(Operation::set_study_user_attribute, "user_attr", name, value);
  }
  for (const auto& [name, value] : study.system_attributes) {
    add_attribute(Operation::set_study_system_attribute, "system_attr", name, value);
  }
  for (const Trial& trial : study.trials) {
    lines.push_back(line_of(Operation::create_trial));
    lines.back()["study_id"] = id;
    describe_whole_trial(trial, lines.back());
  }
  write(lines);
  return id;
}

void StudyFile::write_for_study(int64_t study, Value line) {
  line["study_id"] = study;
  if (!write({line}).at(0)) fail_no_study(study);
}

void StudyFile::delete_study(int64_t study) {
  write_for_study(study, line_of(Operation::delete_study));
}

void StudyFile::set_study_user_attribute(int64_t study, const std::string& name,
                                         const Value& value) {
  Value line = line_of(Operation::set_study_user_attribute);
  line["user_attr"][name] = value;
  write_for_study(study, line);
}

void StudyFile::set_study_system_attribute(int64_t study, const std::string& name,
                                           const Value& value) {
  Value line = line_of(Operation::set_study_system_attribute);
  line["system_attr"][name] = value;
  write_for_study(study, line);
}

std::optional<int64_t> StudyFile::add_trial_if(int64_t study, Value line,
                                               const std::function<bool(const Study&)>& is_wanted) {
  line["study_id"] = study;
  bool is_added = false;
  refresh();
  file_.append_made([&]() -> std::vector<Value> {
    refresh();
    const Study* found = replay_.study(study);
    if (found == nullptr) fail_no_study(study);
    is_added = is_wanted(*found);
    if (!is_added) return {};
    return {line};
  });
  if (!is_added) return std::nullopt;
  refresh();
  return last_created_;
}

std::optional<int64_t> StudyFile::create_trial_if(
    int64_t study, const std::function<bool(const Study&)>& is_wanted) {
  show_life();
  Value line = line_of(Operation::create_trial);
  line["datetime_start"] = journal_now();
  return add_trial_if(study, line, is_wanted);
}

int64_t StudyFile::create_trial(int64_t study) { return *create_trial_if(study, always_wanted); }

std::optional<int64_t> StudyFile::enqueue_trial_if(
    int64_t study, const Value::Object& system_attributes,
    const std::function<bool(const Study&)>& is_wanted) {
  Value line = line_of(Operation::create_trial);
  line["datetime_start"] = Value();
  line["state"] = static_cast<int>(TrialState::waiting);
  line["value"] = Value();
  line["values"] = Value();
  line["system_attrs"] = system_attributes;
  for (const char* empty : {"distributions", "params", "user_attrs", "intermediate_values"}) {
    line[empty] = Value::Object{};
  }
  return add_trial_if(study, line, is_wanted);
}

int64_t StudyFile::enqueue_trial(int64_t study, const Value::Object& system_attributes) {
  return *enqueue_trial_if(study, system_attributes, always_wanted);
}

bool StudyFile::switch_state(int64_t trial, TrialState from, TrialState to) {
  refresh();
  const Trial* found = replay_.trial(trial);
  if (found == nullptr || found->state != from) return false;
  Value line = line_of(Operation::set_trial_state_values);
  line["trial_id"] = trial;
  line["state"] = static_cast<int>(to);
  line["values"] = Value();
  if (to == TrialState::running) line["datetime_start"] = journal_now();
  return write({line}).at(0);
}

void StudyFile::show_life() {
  if (!beats_) beats_ = std::make_unique<OwnerBeats>(file_.lock());
}

bool StudyFile::start_waiting(int64_t trial) {
  show_life();
  return switch_state(trial, TrialState::waiting, TrialState::running);
}

bool StudyFile::pause(int64_t trial) {
  return switch_state(trial, TrialState::running, TrialState::waiting);
}

std::vector<int64_t> StudyFile::abandoned_trials(int64_t study) {
  refresh();
  const Study* found = replay_.study(study);
  if (found == nullptr) fail_no_study(study);
  std::vector<int64_t> abandoned;
  for (const Trial& trial : found->trials) {
    const std::string_view worker = replay_.worker_of(trial.id);
    const size_t mark = worker.find(kIdentityMark);
    if (trial.state != TrialState::running || mark == std::string_view::npos) continue;
    const std::string_view process = worker.substr(mark + 1);
    if (is_dead_process(process) || silent_.contains(process)) abandoned.push_back(trial.id);
  }
  return abandoned;
}

std::vector<Value> StudyFile::lines_of(int64_t trial, const TrialUpdate& added) const {
  std::vector<Value> lines;
  const auto add = [&](Operation operation) -> Value& {
    lines.push_back(line_of(operation));
    lines.back()["trial_id"] = trial;
    return lines.back();
  };
  for (const auto& [name, value] : added.parameters) {
    const auto distribution = added.distributions.find(name);
    if (distribution == added.distributions.end()) {
      throw ConfigError(fmt::format("trial {}: the parameter {} has no distribution", trial, name));
    }
    Value& line = add(Operation::set_trial_parameter);
    line["param_name"] = name;
    line["param_value_internal"] = value;
    line["distribution"] = distribution->second.to_json();
  }
  for (const auto& [step, value] : added.intermediate_values) {
    Value& line = add(Operation::set_trial_intermediate_value);
    line["step"] = step;
    line["intermediate_value"] = value;
  }
  for (const auto& [name, value] : added.user_attributes) {
    add(Operation::set_trial_user_attribute)["user_attr"][name] = value;
  }
  for (const auto& [name, value] : added.system_attributes) {
    add(Operation::set_trial_system_attribute)["system_attr"][name] = value;
  }
  return lines;
}

void StudyFile::update(int64_t trial, const TrialUpdate& added) { update({{trial, added}}); }

void StudyFile::update(const TrialUpdates& added) {
  std::vector<Value> lines;
  for (const auto& [trial, update] : added) {
    for (auto& line : lines_of(trial, update)) lines.push_back(std::move(line));
  }
  if (lines.empty()) return;
  const auto effects = write(lines);
  for (size_t i = 0; i < effects.size(); ++i) {
    if (effects[i]) continue;
    throw ConfigError(fmt::format(
        "trial {}: nothing can be added to it, because it has ended or doesn't exist, or because a "
        "parameter had other choices, another kind or another scale in an earlier trial",
        lines[i].at("trial_id").as_int()));
  }
}

std::optional<TrialState> StudyFile::finish(int64_t trial, TrialState state,
                                            std::vector<double> values) {
  refresh();
  if (!is_finished(state)) throw ConfigError("a trial can't end as running or waiting");
  const Study* found = replay_.study_of_trial(trial);
  if (found == nullptr) {
    throw ConfigError(
        fmt::format("trial {}: there is no such trial, or its study was deleted", trial));
  }
  const Study& study = *found;
  const Trial& running = *replay_.trial(trial);
  if (state == TrialState::pruned && values.empty() && !running.intermediate_values.empty()) {
    const double last = running.intermediate_values.rbegin()->second;
    if (!std::isnan(last) && study.directions.size() == 1) values = {last};
  }
  const bool needs_values = state == TrialState::complete;
  if ((needs_values || !values.empty()) && values.size() != study.directions.size()) {
    throw ConfigError(
        fmt::format("trial {} of study '{}' ended with {} values; it has {} objectives", trial,
                    study.name, values.size(), study.directions.size()));
  }
  for (const double value : values) {
    if (std::isnan(value)) state = TrialState::fail;
  }
  Value line = line_of(Operation::set_trial_state_values);
  line["trial_id"] = trial;
  line["state"] = static_cast<int>(state);
  const bool has_values = state != TrialState::fail && !values.empty();
  line["values"] = has_values ? numbers_to_value(values) : Value();
  line["datetime_complete"] = journal_now();
  if (!write({line}).at(0)) return std::nullopt;
  return state;
}

}  // namespace levin
