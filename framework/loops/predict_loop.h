#pragma once

#include <map>
#include <string>
#include <vector>

#include <levin/framework/loops/loop_parts.h>

namespace levin {

/// One pass over prediction data, collecting what predict_step returns on the CPU.
/// Lightning: _PredictionLoop.
class PredictLoop {
 public:
  PredictLoop(LoopParts parts, DataLoaders loaders);
  /// Each output's rows of all batches and loaders, in order, on every rank.
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
