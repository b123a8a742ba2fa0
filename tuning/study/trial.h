#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/core/value.h>
#include <levin/tuning/space/distribution.h>
#include <levin/tuning/space/search_space.h>

namespace levin {

/// The numbers are those of Optuna's files.
enum class TrialState : uint8_t { running = 0, complete = 1, pruned = 2, fail = 3, waiting = 4 };
enum class StudyDirection : uint8_t { not_set = 0, minimize = 1, maximize = 2 };

/// Whether a trial of this state will never change again.
constexpr bool is_finished(TrialState state) {
  return state != TrialState::running && state != TrialState::waiting;
}
/// "RUNNING", "COMPLETE" ..., as Optuna's databases name the states, and "MINIMIZE" ...
std::string_view name_of(TrialState state);
std::string_view name_of(StudyDirection direction);

/// A moment in microseconds since 1970-01-01 UTC.
using Microseconds = int64_t;

/// One attempt of a study: the parameters that it got, and what came of it.
struct Trial {
  /// Counts all trials of the file from 0, and `number` those of the study.
  int64_t id = 0;
  int64_t number = 0;
  TrialState state = TrialState::running;
  /// The parameters in their internal form (see Distribution), and the distribution of each.
  ParameterValues parameters{};
  std::map<std::string, Distribution> distributions{};
  /// One for each objective; empty as long as there is none. Infinities are allowed.
  std::vector<double> values{};
  /// What the trial reported on its way, by step. NaNs are allowed.
  std::map<int64_t, double> intermediate_values{};
  Value::Object user_attributes{};
  Value::Object system_attributes{};
  std::optional<Microseconds> started{};
  std::optional<Microseconds> completed{};

  /// The largest step that a value was reported for.
  std::optional<int64_t> last_step() const {
    if (intermediate_values.empty()) return std::nullopt;
    return intermediate_values.rbegin()->first;
  }
};

/// A study of a file, with its trials in the order of their numbers.
struct Study {
  int64_t id = 0;
  std::string name{};
  /// One for each objective.
  std::vector<StudyDirection> directions{};
  Value::Object user_attributes{};
  Value::Object system_attributes{};
  std::vector<Trial> trials{};

  /// The complete trial with the best value of the only objective, or nullptr if there is none. Of
  /// equal ones, the first; NaNs don't count.
  const Trial* best_trial() const;
};

/// Writes a moment as the journal does: "2026-09-01T12:00:00.000000+00:00".
std::string to_iso_time(Microseconds moment);
/// Reads that, with any offset or none (UTC), and with or without microseconds. Throws DataError if
/// it isn't a time.
Microseconds from_iso_time(std::string_view text);

}  // namespace levin
