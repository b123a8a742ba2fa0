#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>

namespace levin {

/// When a BasePredictionWriter writes.
enum class WriteInterval { batch, epoch, batch_and_epoch };

/// The base class of callbacks that write predictions while Trainer::predict makes them, for
/// example into a database. Lightning: BasePredictionWriter.
///
///     class Scores : public levin::BasePredictionWriter {
///      public:
///       Scores() : BasePredictionWriter(levin::WriteInterval::batch) {}
///       void write_on_batch_end(const levin::NamedTensors& outputs, const levin::Batch& batch,
///                               levin::Step&) override { ... }
///     };
///     trainer.add<Scores>();
///     trainer.predict(model, data, [](const levin::NamedTensors&) {});   // keeps nothing
///
/// With several ranks, each rank writes the predictions of its own rows. Of ranks that share a
/// model (a pipeline), and so have the same rows, only the first one does.
class BasePredictionWriter : public Callback {
 public:
  explicit BasePredictionWriter(WriteInterval interval) : interval_(interval) {}

  /// Writes what predict_step returned for a batch, on its device.
  virtual void write_on_batch_end(const NamedTensors& /*outputs*/, const Batch& /*batch*/,
                                  Step& /*step*/) {}
  /// Writes what predict_step returned for all batches of all loaders, copied to the CPU and joined
  /// in their order, [rows, ...] each.
  virtual void write_on_epoch_end(const NamedTensors& /*outputs*/, Run& /*run*/) {}

  void on_predict_start(Run& run) override;
  void on_predict_batch_end(const NamedTensors& outputs, const Batch& batch, Step& step) override;
  void on_predict_epoch_end(Run& run) override;

 private:
  WriteInterval interval_;
  std::vector<std::pair<std::string, std::vector<torch::Tensor>>> kept_;
};

/// Options of PredictionWriter.
struct PredictionWriterOptions {
  /// The folder to write to; a relative one is in the run's folder.
  std::string output_dir = "predictions";
  /// When to write: a file for each "batch", one at the end of the "epoch", or "batch_and_epoch".
  std::string write_interval = "batch";
};

/// Describes the options for YAML files and `--help`.
Fields describe(PredictionWriterOptions& options);

/// Writes predictions to safetensors files, which Python reads with `safetensors`: the tensors that
/// predict_step returns, and "row", the numbers of the rows in their data set, if they are known.
///
///     trainer.add<levin::PredictionWriter>({.output_dir = "/data/scores"});
///
/// The files are named batch-<loader>-<batch>.safetensors and predictions.safetensors; if several
/// ranks write, "-rank<r>" is added to the name. A file is there as a whole or not at all.
class PredictionWriter : public BasePredictionWriter {
 public:
  using Options = PredictionWriterOptions;
  /// Throws ConfigError for an empty folder or another interval.
  explicit PredictionWriter(PredictionWriterOptions options = {});

  void on_predict_start(Run& run) override;
  void write_on_batch_end(const NamedTensors& outputs, const Batch& batch, Step& step) override;
  void on_predict_batch_end(const NamedTensors& outputs, const Batch& batch, Step& step) override;
  void write_on_epoch_end(const NamedTensors& outputs, Run& run) override;

 private:
  void write(const std::string& name, const NamedTensors& outputs,
             const std::vector<int64_t>& rows) const;

  PredictionWriterOptions options_;
  std::filesystem::path folder_;
  std::string suffix_;
  std::vector<int64_t> rows_;  // of all batches
};

}  // namespace levin
