#pragma once

#include <optional>
#include <vector>

#include <levin/framework/loops/loop_parts.h>

namespace levin {

/// One pass over validation or test data: the same code by itself, within fit and as sanity check.
/// Lightning: _EvaluationLoop.
class EvaluationLoop {
 public:
  /// `loaders` are read one after another. `limit` is the option named `option`.
  EvaluationLoop(LoopParts parts, DataLoaders loaders, std::string_view option,
                 const CountOrFraction& limit);

  /// Whether there is anything to evaluate.
  bool has_batches() const;
  /// Evaluates as `stage` (sanity_check, validate or test), at most `most` batches a loader;
  /// returns the metrics and leaves them in the run's. In sanity_check nothing is kept or logged.
  MetricMap run(Stage stage, std::optional<int64_t> most = {});

 private:
  void read_loader(size_t index, std::optional<int64_t> most, StepControl& step);
  void evaluate(const Batch& batch, StepControl& step);
  MetricMap finish(Stage stage);

  LoopParts parts_;
  DataLoaders loaders_;
  std::vector<std::optional<int64_t>> limits_;
  std::vector<Reader> readers_;
  LoggedValues metrics_;
  int64_t batches_seen_ = 0;
};

/// Puts a module and its children into evaluation mode, and each back into its own mode after.
class EvaluationMode {
 public:
  explicit EvaluationMode(torch::nn::Module& module);
  ~EvaluationMode();
  EvaluationMode(const EvaluationMode&) = delete;
  EvaluationMode& operator=(const EvaluationMode&) = delete;

 private:
  torch::nn::Module& module_;
  bool was_training_;
  std::vector<std::pair<std::shared_ptr<torch::nn::Module>, bool>> children_;
};

}  // namespace levin
