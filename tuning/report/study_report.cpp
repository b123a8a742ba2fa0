#include <levin/tuning/report/study_report.h>

#include <algorithm>
#include <array>
#include <set>
#include <vector>

#include <fmt/format.h>

#include <levin/framework/core/aligned_rows.h>
#include <levin/framework/core/counted.h>
#include <levin/framework/core/small_letters.h>
#include <levin/tuning/samplers/pareto_front.h>

namespace levin {
namespace {

std::string shown_parameter(const Trial& trial, const std::string& name) {
  const auto value = trial.parameters.find(name);
  if (value == trial.parameters.end()) return "-";
  const Value external = trial.distributions.at(name).to_external(value->second);
  if (external.is_double()) return fmt::format("{:.6g}", external.as_double());
  return external.is_string() ? external.as_string() : external.to_json();
}

std::string shown_value(const Trial& trial, size_t objective) {
  if (objective >= trial.values.size()) return "-";
  return fmt::format("{:.6g}", trial.values[objective]);
}

Value trial_value(const Study& study, const Trial& trial) {
  Value value;
  value["number"] = trial.number;
  const auto names = objective_names(study);
  for (size_t i = 0; i < trial.values.size(); ++i) value["values"][names[i]] = trial.values[i];
  value["parameters"] = Value::Object{};
  for (const auto& [name, internal] : trial.parameters) {
    value["parameters"][name] = trial.distributions.at(name).to_external(internal);
  }
  return value;
}

constexpr std::array<TrialState, 5> kShownStates = {TrialState::complete, TrialState::pruned,
                                                    TrialState::fail, TrialState::running,
                                                    TrialState::waiting};

int64_t count_in(const Study& study, TrialState state) {
  return std::count_if(study.trials.begin(), study.trials.end(),
                       [state](const Trial& trial) { return trial.state == state; });
}

}  // namespace

std::vector<std::string> objective_names(const Study& study) {
  std::vector<std::string> names;
  const auto recorded = study.system_attributes.find("study:metric_names");
  if (recorded != study.system_attributes.end() && recorded->second.is_array()) {
    for (const Value& name : recorded->second.as_array()) {
      if (name.is_string()) names.push_back(name.as_string());
    }
  }
  for (size_t i = names.size(); i < study.directions.size(); ++i) {
    names.push_back(fmt::format("value_{}", i));
  }
  return names;
}

std::string trial_line(const Study& study, const Trial& trial) {
  std::string line =
      fmt::format("trial {}: {}", trial.number, to_small_letters(name_of(trial.state)));
  const auto names = objective_names(study);
  for (size_t i = 0; i < trial.values.size(); ++i) {
    line += fmt::format(", {} = {}", names[i], shown_value(trial, i));
  }
  const auto error = trial.user_attributes.find("error");
  if (error != trial.user_attributes.end() && error->second.is_string()) {
    line += ": " + error->second.as_string();
  }
  const Trial* const best = study.directions.size() == 1 ? study.best_trial() : nullptr;
  if (best != nullptr) {
    line += fmt::format("; best: trial {}, {}", best->number, shown_value(*best, 0));
  }
  return line;
}

std::vector<std::vector<std::string>> study_rows(const Study& study) {
  std::set<std::string> parameters;
  for (const Trial& trial : study.trials) {
    for (const auto& [name, ignored] : trial.parameters) parameters.insert(name);
  }
  const auto names = objective_names(study);
  std::vector<std::vector<std::string>> rows = {{"trial", "state"}};
  rows[0].insert(rows[0].end(), names.begin(), names.end());
  rows[0].push_back("steps");
  rows[0].insert(rows[0].end(), parameters.begin(), parameters.end());
  for (const Trial& trial : study.trials) {
    std::vector<std::string> row = {fmt::format("{}", trial.number),
                                    to_small_letters(name_of(trial.state))};
    for (size_t i = 0; i < names.size(); ++i) row.push_back(shown_value(trial, i));
    row.push_back(fmt::format("{}", trial.intermediate_values.size()));
    for (const auto& name : parameters) row.push_back(shown_parameter(trial, name));
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string study_table(const Study& study) { return aligned_rows(study_rows(study)); }

std::string study_counts(const Study& study) {
  std::string text = counted(study.trials.size(), "trial");
  std::string separator = ": ";
  for (const TrialState state : kShownStates) {
    const int64_t count = count_in(study, state);
    if (count == 0) continue;
    text += fmt::format("{}{} {}", separator, count, to_small_letters(name_of(state)));
    separator = ", ";
  }
  return text;
}

Value study_summary(const Study& study) {
  Value summary;
  summary["study"] = study.name;
  summary["trials"] = static_cast<int64_t>(study.trials.size());
  for (const TrialState state : kShownStates) {
    summary["states"][to_small_letters(name_of(state))] = count_in(study, state);
  }
  Value::Array front;
  for (const Trial* trial : pareto_front(study)) front.push_back(trial_value(study, *trial));
  if (study.directions.size() == 1) {
    summary["best"] = front.empty() ? Value() : front.front();
  } else {
    summary["pareto_front"] = std::move(front);
  }
  return summary;
}

}  // namespace levin
