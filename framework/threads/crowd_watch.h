#pragma once

#include <cstdint>

namespace levin {

/// Notices from the time of a run's steps that other programs want this machine's cores. It says so
/// if steps took more than four times their usual time, on average over a quarter of a second and
/// at least eight steps. One slow step among quick ones isn't enough. Threads that keep their cores
/// while they wait should then be told to sleep (ShortWaits).
///
///     CrowdWatch watch;
///     watch.start(seconds_a_step);
///     ...
///     if (watch.is_watching() && watch.is_crowded_after(seconds)) make_waits_short();
///
/// It measures nothing itself; the caller gives it the times. A call costs a few additions.
class CrowdWatch {
 public:
  /// Begins to watch. `seconds_a_step` is the usual time of a step, above 0.
  void start(double seconds_a_step) { usual_ = seconds_a_step; }
  /// Whether `start` was called and no crowd has been found since.
  bool is_watching() const { return usual_ > 0.0; }
  /// Counts one more step, which took `seconds`. Returns true if that shows that there is a crowd;
  /// watching ends with that. Only to be called while `is_watching`.
  bool is_crowded_after(double seconds);

 private:
  double usual_ = 0.0;  // seconds a step; 0: not watching
  double spent_ = 0.0;  // seconds since the last decision; steps_ counts their steps
  int64_t steps_ = 0;
};

}  // namespace levin
