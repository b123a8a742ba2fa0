#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/core/value.h>
#include <levin/tuning/study/trial.h>

namespace levin {

/// What the lines of a journal file add up to. Every process that reads the same lines gets the
/// same studies, because the order of the lines decides: of two processes that create a study of
/// the same name or start the same waiting trial, the first one in the file has done so, and the
/// line of the other one has no effect.
class JournalReplay {
 public:
  /// The operations, by the numbers that a line has in op_code.
  enum class Operation : uint8_t {
    create_study = 0,
    delete_study = 1,
    set_study_user_attribute = 2,
    set_study_system_attribute = 3,
    create_trial = 4,
    set_trial_parameter = 5,
    set_trial_state_values = 6,
    set_trial_intermediate_value = 7,
    set_trial_user_attribute = 8,
    set_trial_system_attribute = 9,
    discard_trials = 10,
  };

  /// Carries out a line. Returns whether it had an effect: false if it is about a study or trial
  /// that doesn't exist, a finished trial, a name that is taken, a trial that already runs, or a
  /// parameter that had an incompatible distribution in an earlier trial. Throws Error if the line
  /// has no known operation or lacks what its operation needs.
  bool apply(const Value& line);

  /// The studies that weren't deleted, in the order of their creation. The pointers are valid until
  /// the next `apply`.
  std::vector<const Study*> studies() const;
  /// The study of that number or name, or nullptr if there is none or it was deleted.
  const Study* study(int64_t id) const;
  const Study* study(std::string_view name) const;
  /// The trial of that id, or nullptr. A trial of a deleted study is still found.
  const Trial* trial(int64_t id) const;
  /// The study of a trial, or nullptr if there is no such trial or its study was deleted.
  const Study* study_of_trial(int64_t trial_id) const;
  /// The worker_id of the process that started the trial last; empty if none has.
  std::string_view worker_of(int64_t trial_id) const;
  /// The number of trials so far, those of deleted studies included: the next trial's id.
  int64_t trial_count() const { return static_cast<int64_t>(trials_.size()); }

 private:
  struct KeptStudy {
    Study study{};
    bool is_deleted = false;
  };
  struct TrialPlace {
    size_t study = 0;
    size_t number = 0;
    std::string worker{};
  };

  Study* existing_study(const Value& line);
  Trial* updatable_trial(const Value& line);
  bool create_study(const Value& line);
  bool create_trial(const Value& line);
  bool set_parameter(const Value& line);
  bool set_state(const Value& line);
  bool set_intermediate_value(const Value& line);

  std::vector<KeptStudy> studies_;
  std::vector<TrialPlace> trials_;
};

}  // namespace levin
