#pragma once

#include <cstdint>

namespace levin {

/// Notices that other programs want this machine's cores: steps take at least four times as long as
/// they did when watching began, for a quarter of a second on end and at least eight steps. Threads
/// that keep their cores while they wait should then be told to sleep (ShortWaits). One slow step
/// among quick ones isn't enough.
class CrowdWatch {
 public:
  /// Begins to watch; `seconds_a_step` is the usual time of a step.
  void start(double seconds_a_step) { usual_ = seconds_a_step; }
  /// Whether `start` was called and no crowd has been found since.
  bool is_watching() const { return usual_ > 0.0; }
  /// Counts one more step, which took `seconds`. Returns true once there is a crowd; watching ends
  /// with that.
  bool is_crowded_after(double seconds);

 private:
  double usual_ = 0.0;  // seconds a step; 0: not watching
  double spent_ = 0.0;  // seconds, and their steps, since the last judgement
  int64_t steps_ = 0;
};

}  // namespace levin
