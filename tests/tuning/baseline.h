#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <levin/framework/core/value.h>
#include <levin/tuning/space/search_space.h>
#include <levin/tuning/study/trial.h>

#include "framework/temporary_folder.h"

namespace levin::test {

/// tests/baselines/tuning.json.
inline const Value& tuning_baseline() {
  static const Value baseline =
      Value::from_json(read_file(LEVIN_SOURCE_DIR "/tests/baselines/tuning.json"));
  return baseline;
}

inline std::vector<double> numbers(const Value& list) {
  std::vector<double> result;
  for (const Value& number : list.as_array()) result.push_back(number.as_double());
  return result;
}

/// The space of the baseline, its parameters sorted by name.
inline std::vector<SearchParameter> baseline_space() {
  std::vector<SearchParameter> space;
  for (const auto& [name, json] : tuning_baseline().at("space").as_object()) {
    space.push_back({name, Distribution::from_json(json.as_string()), {}, {}});
  }
  return space;
}

inline std::vector<Distribution> distributions_of(const std::vector<SearchParameter>& space) {
  std::vector<Distribution> distributions;
  for (const auto& parameter : space) distributions.push_back(parameter.distribution);
  return distributions;
}

/// Values by parameter as rows, [rows][parameters].
inline std::vector<std::vector<double>> rows_of(const Value& columns,
                                                const std::vector<SearchParameter>& space) {
  std::vector<std::vector<double>> rows(columns.at(space[0].name).as_array().size());
  for (const auto& parameter : space) {
    const auto column = numbers(columns.at(parameter.name));
    for (size_t i = 0; i < rows.size(); ++i) rows[i].push_back(column[i]);
  }
  return rows;
}

}  // namespace levin::test
