#pragma once

#include <levin/framework/run/trainer_options.h>

namespace levin {

/// Sets LibTorch's switches as the options `deterministic` (deterministic algorithms only, in cuDNN
/// too) and `detect_anomaly` (find the operation that made a NaN) say, and puts them back when it
/// is destroyed. The switches are those of the whole process.
class GlobalSwitches {
 public:
  explicit GlobalSwitches(const TrainerOptions& options);
  ~GlobalSwitches();
  GlobalSwitches(const GlobalSwitches&) = delete;
  GlobalSwitches& operator=(const GlobalSwitches&) = delete;

 private:
  bool deterministic_before_;
  bool warn_only_before_;
  bool cudnn_before_;
  bool anomaly_before_;
};

}  // namespace levin
