#include <levin/framework/trainer/global_switches.h>

#include <ATen/Context.h>
#include <torch/csrc/autograd/anomaly_mode.h>

namespace levin {

GlobalSwitches::GlobalSwitches(const TrainerOptions& options)
    : deterministic_before_(at::globalContext().deterministicAlgorithms()),
      warn_only_before_(at::globalContext().deterministicAlgorithmsWarnOnly()),
      cudnn_before_(at::globalContext().deterministicCuDNN()),
      anomaly_before_(torch::autograd::AnomalyMode::is_enabled()) {
  if (options.deterministic) {
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/false);
    at::globalContext().setDeterministicCuDNN(true);
  }
  if (options.detect_anomaly) torch::autograd::AnomalyMode::set_enabled(true);
}

GlobalSwitches::~GlobalSwitches() {
  at::globalContext().setDeterministicAlgorithms(deterministic_before_, warn_only_before_);
  at::globalContext().setDeterministicCuDNN(cudnn_before_);
  torch::autograd::AnomalyMode::set_enabled(anomaly_before_);
}

}  // namespace levin
