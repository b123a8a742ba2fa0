#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <levin/tuning/study/trial.h>

namespace levin {

/// The settings of Asha.
struct AshaOptions {
  /// The step of the first rung.
  int64_t min_resource = 1;
  /// The last step of a trial that is never stopped.
  int64_t max_resource = 100;
  /// The next rung is at reduction_factor times as many steps, and the best 1 / reduction_factor of
  /// the trials of a rung go on to it.
  int64_t reduction_factor = 4;
};

/// What a worker is to do next.
struct AshaJob {
  /// The paused trial to go on with, by its number; nothing: a new trial.
  std::optional<int64_t> resumed{};
  /// The rung that the trial trains for, from 0, and the step of it.
  int64_t rung = 0;
  int64_t until_step = 0;
};

/// Asynchronous successive halving with pauses (arXiv:1810.05934, algorithm 2): a trial trains up
/// to a rung and pauses there, with a checkpoint. A worker that is free goes on with the best
/// paused trial that may, of the highest rung first; if there is none, it starts a new one. Unlike
/// SuccessiveHalvingPruner, nothing is decided too early for good: a trial that pauses among bad
/// ones goes on when worse ones have come.
///
/// The state is in the study. A trial that has got to rung k has its value there as the system
/// attribute "completed_rung_k", as Optuna's pruner writes it, and the rung that it trains for as
/// "asha:rung". It pauses if it waits, as the study says, and has got to that rung. Failed trials
/// don't count.
class Asha {
 public:
  /// Throws ConfigError if min_resource is below 1, max_resource below min_resource, or
  /// reduction_factor below 2.
  explicit Asha(AshaOptions options);

  /// Returns the job for a free worker. Throws ConfigError if the study has several objectives.
  AshaJob next(const Study& study) const;
  /// The trial to go on with when no new one will be started and none runs, so that few trials have
  /// a winner, too: the best of those that pause at the highest rung, by its number. Nothing if a
  /// trial is complete or none pauses.
  std::optional<int64_t> winner(const Study& study) const;
  /// The number of rungs; the last one is at max_resource, at the end of a trial.
  int64_t rungs() const;
  int64_t step_of(int64_t rung) const;
  /// Whether the trial waits at a rung to go on.
  static bool is_paused(const Trial& trial);
  /// The rung that the trial trains for if it is started or goes on now.
  static int64_t rung_to_train(const Trial& trial);

  /// The names of the two attributes.
  static std::string value_attribute(int64_t rung);
  static constexpr const char* rung_attribute = "asha:rung";

 private:
  AshaOptions options_;
};

}  // namespace levin
