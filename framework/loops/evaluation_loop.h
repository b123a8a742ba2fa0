#pragma once

#include <optional>
#include <string>
#include <vector>

#include <levin/framework/loops/loop_parts.h>

namespace levin {

class MemoryOwner;

/// Makes passes over validation or test data. The same code serves Trainer::validate and
/// Trainer::test, the validation within a fit, and the sanity check before it. Lightning:
/// _EvaluationLoop.
///
///     EvaluationLoop loop(parts, data.test_dataloader(), "limit_test_batches", 1.0);
///     const at::NoGradGuard no_grad;
///     MetricMap metrics = loop.run(Stage::test);          // on every rank
///
/// A loop may make any number of passes. It opens its readers in the first pass that reads them,
/// and rewinds them for the next one, so that their threads and buffers are made only once. In the
/// first pass that isn't a sanity check, data that can live on the device are copied there
/// (keep_on_device), so in a fit those of the training come first.
class EvaluationLoop {
 public:
  /// Reads `loaders` one after another and takes at most `limit` batches of each. `limit` is the
  /// value of the option named `option`, which error messages mention. Throws ConfigError if the
  /// limit is a fraction of a loader whose length isn't known, or a fraction of less than one
  /// batch.
  EvaluationLoop(LoopParts parts, DataLoaders loaders, std::string_view option,
                 const CountOrFraction& limit);

  /// Reads other loaders from the next pass on, with the same limit. Throws what the constructor
  /// throws.
  void set_loaders(DataLoaders loaders);

  /// Whether at least one loader may have a batch to evaluate. True also for a loader whose length
  /// isn't known, unless its limit is 0.
  bool has_batches() const;
  /// Makes one pass over all loaders and returns the metrics that were logged in it, combined over
  /// all ranks. If `most` is given, the pass reads no more than that many batches of each loader.
  ///
  /// `stage` is validate, test or sanity_check. It selects the hooks that are called, those of a
  /// validation or of a test. In a sanity check the loggers get nothing. During the pass the module
  /// is in evaluation mode, and Run::progress describes the evaluation; afterwards both are as they
  /// were. Run::metrics shows the returned values from then on. The caller decides whether
  /// gradients are recorded. A collective: all ranks have to call this together.
  MetricMap run(Stage stage, std::optional<int64_t> most = {});

 private:
  void read_loader(size_t index, std::optional<int64_t> most, StepControl& step);
  void evaluate(const Batch& batch, StepControl& step);

  LoopParts parts_;
  std::string option_;
  CountOrFraction limit_;
  DataLoaders loaders_;
  std::vector<std::optional<int64_t>> limits_;  // batches of each loader; nothing: no limit
  std::vector<Reader> readers_;                 // opened in the first pass, then rewound
  LoggedValues metrics_;
  std::vector<MemoryOwner*> owners_;  // of the module's parameters, if ranks divide these
  bool has_placed_data_ = false;      // it is known where the data stay
  int64_t batches_seen_ = 0;          // over all passes; the step of the loggers' rows
};

/// Puts a module and all its children into evaluation mode while this object exists. The destructor
/// puts each of them back into the mode that it was in, so a part that the user froze in evaluation
/// mode stays frozen. The module must outlive this object.
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
