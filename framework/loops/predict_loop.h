#pragma once

#include <map>
#include <string>
#include <vector>

#include <levin/framework/loops/loop_parts.h>

namespace levin {

/// One pass over the prediction data, which collects what predict_step returns.
/// Lightning: _PredictionLoop.
class PredictLoop {
 public:
  PredictLoop(LoopParts parts, DataLoaders loaders);

  /// Predicts, and returns on every rank each output's rows of all ranks, on the CPU, in the order
  /// of the data: loader by loader, row by row. All ranks have to call this together. Throws
  /// ModuleError if predict_step returns other names than for the first batch.
  NamedTensors run();

 private:
  void read_all();
  void read_loader(size_t index, StepControl& step);
  void collect(const NamedTensors& outputs);

  LoopParts parts_;
  DataLoaders loaders_;
  LoggedValues metrics_;  // stays empty: predict logs nothing
  std::vector<std::pair<std::string, std::vector<torch::Tensor>>> collected_;
  std::vector<int64_t> positions_;  // of this rank's rows among all
  int64_t rows_ = 0;                // over all ranks
};

}  // namespace levin
