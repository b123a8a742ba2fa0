#pragma once

#include <memory>

namespace levin {

/// While an object of this class exists, LibTorch's threads go to sleep soon after they begin to
/// wait for each other.
///
/// By default GNU's OpenMP lets a waiting thread run in a loop for milliseconds before it sleeps.
/// That is fastest if every thread has a core of its own. If other programs run too, the loop keeps
/// the core from the very thread that is waited for: a training step with two threads on two busy
/// cores took 30 times as long.
///
/// The environment variable OMP_WAIT_POLICY=passive has the same effect, but OpenMP reads it only
/// when the program starts. At run time OpenMP shortens the waits whenever there are more OpenMP
/// threads than cores, so this class keeps a team of threads asleep that has one more member than
/// there are cores. Results don't change. Objects may be nested and may live on any thread. Source:
/// libgomp's manual, GOMP_SPINCOUNT.
class ShortWaits {
 public:
  /// Starts the sleeping threads; does nothing if not `are_an_option`.
  ShortWaits();
  ~ShortWaits();
  ShortWaits(const ShortWaits&) = delete;
  ShortWaits& operator=(const ShortWaits&) = delete;

  /// Whether an object of this class changes anything. It doesn't if the user has decided how
  /// threads wait (OMP_WAIT_POLICY or GOMP_SPINCOUNT is set), or if LibTorch's OpenMP isn't GNU's.
  static bool are_an_option();

 private:
  class Team;
  std::unique_ptr<Team> team_;
};

}  // namespace levin
