#pragma once

#include <optional>
#include <vector>

#include <levin/framework/loops/loop_parts.h>

namespace levin {

/// Passes over validation or test data: the same code for Trainer::validate and Trainer::test, for
/// the validation within a fit and for the sanity check before it. Lightning: _EvaluationLoop.
class EvaluationLoop {
 public:
  /// Reads `loaders` one after another, at most `limit` of each, which is the value of the option
  /// named `option`. Throws ConfigError if the limit doesn't fit a loader.
  EvaluationLoop(LoopParts parts, DataLoaders loaders, std::string_view option,
                 const CountOrFraction& limit);

  /// Whether there is a loader with at least one batch to evaluate.
  bool has_batches() const;
  /// Makes one pass over all loaders, at most `most` batches of each, and returns its metrics,
  /// which the Run shows from then on. `stage` is validate, test or sanity_check and says which
  /// hooks are called; in sanity_check the loggers get nothing. The module is in evaluation mode
  /// meanwhile. Whether gradients are recorded is up to the caller. All ranks have to call this
  /// together.
  MetricMap run(Stage stage, std::optional<int64_t> most = {});

 private:
  void read_loader(size_t index, std::optional<int64_t> most, StepControl& step);
  void evaluate(const Batch& batch, StepControl& step);

  LoopParts parts_;
  DataLoaders loaders_;
  std::vector<std::optional<int64_t>> limits_;  // batches of each loader; nothing: no limit
  std::vector<Reader> readers_;                 // opened at the first pass, used again
  LoggedValues metrics_;
  int64_t batches_seen_ = 0;  // over all passes: the loggers' step
};

/// Puts a module and its children into evaluation mode while this object exists, and each of them
/// back into the mode it was in. A part that was frozen in evaluation mode stays there.
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
