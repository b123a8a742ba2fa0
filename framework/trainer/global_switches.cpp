#include <levin/framework/trainer/global_switches.h>

#include <ATen/Context.h>
#include <torch/csrc/autograd/anomaly_mode.h>

namespace levin {

GlobalSwitches::GlobalSwitches(const TrainerOptions& options)
    : deterministic_before_(at::globalContext().deterministicAlgorithms()),
      warn_only_before_(at::globalContext().deterministicAlgorithmsWarnOnly()),
      cudnn_before_(at::globalContext().deterministicCuDNN()),
      benchmark_before_(at::globalContext().benchmarkCuDNN()),
      anomaly_before_(torch::autograd::AnomalyMode::is_enabled()) {
  if (options.deterministic.is_on()) {
    const bool warn_only = options.deterministic.name() == "warn";
    at::globalContext().setDeterministicAlgorithms(true, warn_only);
    at::globalContext().setDeterministicCuDNN(true);
    at::globalContext().setBenchmarkCuDNN(false);
  }
  if (options.benchmark) at::globalContext().setBenchmarkCuDNN(*options.benchmark);
  if (options.detect_anomaly) torch::autograd::AnomalyMode::set_enabled(true);
}

GlobalSwitches::~GlobalSwitches() {
  at::globalContext().setDeterministicAlgorithms(deterministic_before_, warn_only_before_);
  at::globalContext().setDeterministicCuDNN(cudnn_before_);
  at::globalContext().setBenchmarkCuDNN(benchmark_before_);
  torch::autograd::AnomalyMode::set_enabled(anomaly_before_);
}

}  // namespace levin
