#pragma once

#include <levin/framework/run/trainer_options.h>

namespace levin {

/// Sets LibTorch's switches for the time of a run, and puts them back as they were when it is
/// destroyed. The option `deterministic` allows deterministic algorithms only, also in cuDNN;
/// LibTorch then throws from an operation that has none, or warns. The option `benchmark` lets
/// cuDNN try several algorithms, which `deterministic` switches off otherwise. The option
/// `detect_anomaly` makes backward name the operation that made a NaN, which is slow. Switches that
/// aren't asked for stay as they are.
///
///     const GlobalSwitches switches(options);      // until the end of the scope
///
/// The switches are those of the whole process, so runs on several threads would share them.
class GlobalSwitches {
 public:
  /// Remembers how the switches are, and then sets those that `options` ask for.
  explicit GlobalSwitches(const TrainerOptions& options);
  /// Puts all switches back, also while an exception passes through.
  ~GlobalSwitches();
  GlobalSwitches(const GlobalSwitches&) = delete;
  GlobalSwitches& operator=(const GlobalSwitches&) = delete;

 private:
  bool deterministic_before_;
  bool warn_only_before_;
  bool cudnn_before_;
  bool benchmark_before_;
  bool anomaly_before_;
};

}  // namespace levin
