#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <levin/framework/data/host_copies.h>
#include <levin/framework/loops/loop_parts.h>

namespace levin {

/// One pass over the prediction data, which collects what Module::predict_step returns. The Trainer
/// makes one for each Trainer::predict. Lightning: _PredictionLoop.
///
///     PredictLoop loop(parts, data.predict_dataloader());
///     NamedTensors outputs = loop.run();        // on every rank; once for each loop
///
/// Batches are moved to the strategy's device, or made there (data_on_device). Each output is
/// copied to the CPU behind the work of its batch (HostCopies), so the device needn't hold the
/// outputs of all batches, and doesn't wait for the host.
class PredictLoop {
 public:
  /// Gets the outputs of some rows, on the CPU, which follow those of the call before.
  using Take = std::function<void(const NamedTensors& outputs)>;

  /// Takes `loaders`, which are read one after another; nothing is read yet. With `take`, outputs
  /// aren't collected: it is called on rank 0 with those of all ranks, batch by batch, after the
  /// next batch's work was begun.
  PredictLoop(LoopParts parts, DataLoaders loaders, Take take = {});

  /// Predicts, and returns on every rank the outputs of all ranks: each tensor [rows, ...] on the
  /// CPU, with its rows in the order of the data, loader by loader. Empty if there was no batch, or
  /// if `take` got them. A loader gives at most `limit_predict_batches` batches.
  ///
  /// The module is in evaluation mode meanwhile, no gradients are recorded, and logging throws
  /// ModuleError. A collective. Throws ModuleError if predict_step returns other names than for the
  /// first batch, and ConfigError if the limit doesn't fit a loader.
  NamedTensors run();

 private:
  using Collected = std::vector<std::pair<std::string, HostCopies>>;
  struct Kept {
    Collected outputs{};
    std::vector<int64_t> positions{};
  };

  void read_all();
  void read_loader(size_t index, StepControl& step);
  void check(const NamedTensors& outputs);
  void collect(NamedTensors outputs);
  void hand_out(NamedTensors outputs);
  void hand_out_kept();

  LoopParts parts_;
  DataLoaders loaders_;
  Take take_;
  LoggedValues metrics_;  // stays empty: predict logs nothing
  Collected collected_;
  std::optional<Kept> kept_;        // of the last batch, if `take_` gets it
  std::vector<int64_t> positions_;  // of this rank's rows, which weren't handed out, among all
  int64_t rows_ = 0;                // over all ranks
};

}  // namespace levin
