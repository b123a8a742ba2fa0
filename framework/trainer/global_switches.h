#pragma once

#include <levin/framework/run/trainer_options.h>

namespace levin {

/// Sets LibTorch's switches for the whole process as the options say, within a scope:
/// deterministic algorithms and the search for NaNs.
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
