#pragma once

#include <levin/framework/core/options.h>
#include <levin/framework/formats/tensorboard_events.h>
#include <levin/framework/loggers/log_file.h>
#include <levin/framework/loggers/logger.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace levin {

/// Options of TensorBoardLogger.
struct TensorBoardLoggerOptions {
  /// The longest time, in seconds, that rows of training steps stay in memory before they are
  /// written. Everything is written at the end of an epoch, before a checkpoint and at the end of
  /// the run.
  double flush_interval = 1.0;
  /// Whether the graph of the module's operations is written at the start of a fit, for the tab
  /// GRAPHS.
  bool log_graph = false;
};

/// Describes the options for YAML files and `--help`.
Fields describe(TensorBoardLoggerOptions& options);

/// Writes an event file, which TensorBoard shows, into the run's folder. Lightning:
/// TensorBoardLogger.
///
///     levin::Trainer trainer({.max_epochs = 20});
///     trainer.add_logger<levin::TensorBoardLogger>();
///
///     tensorboard --logdir levin_logs
///
/// Each metric is a scalar of its name, and `epoch` is one more. The tab HPARAMS shows the settings
/// of the model, the data and the Trainer ("model/learning_rate") beside the last value of each
/// metric. The tab GRAPHS shows how the module predicts, if the option `log_graph` says so;
/// module_graph.h says what it has. Texts, images and histograms are kept, too. Neither TensorFlow
/// nor a protobuf library is needed. A row costs a few hundred nanoseconds: it is formatted in
/// memory and written with others.
///
/// If a run resumes from a checkpoint, the event file is cut back to the events that it had when
/// the checkpoint was taken, so that it ends like that of an uninterrupted run, but for the times
/// in it. A TensorBoard that has already shown the events that were cut has to be restarted. If
/// events are missing, a warning says so; if the file doesn't exist, a new one is begun. A new fit
/// in the same folder begins another event file, and TensorBoard shows both as one run. After
/// `start`, a file that can't be written or was removed never ends the run; see LogFile.
class TensorBoardLogger : public Logger {
 public:
  using Options = TensorBoardLoggerOptions;
  explicit TensorBoardLogger(TensorBoardLoggerOptions options = {});

  /// Creates an event file, or continues the checkpoint's. Throws CheckpointError if that file
  /// isn't the one that the checkpoint's run wrote.
  void start(Run& run) override;
  void log_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) override;
  void log_epoch_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) override;
  /// Writes the settings for the tab HPARAMS, unless the run has resumed and the file has them.
  void log_hyper_parameters(const Value& settings) override;
  bool keeps_graph() const override { return options_.log_graph && !has_graph_; }
  /// Writes the graph of the operations by which the module predicts `input`. If there is none,
  /// because `predict` fails or doesn't use operations of LibTorch, a warning says so. Does nothing
  /// if the file has a graph. May be called for a module that isn't trained, after `start`.
  void log_graph(Module& module, const Batch& input) override;
  void log_text(std::string_view tag, std::string_view text, int64_t step) override;
  void log_image(std::string_view tag, const torch::Tensor& image, int64_t step) override;
  /// Counts the values in 30 buckets of the same width; infinities and NaNs are left out. On a GPU,
  /// this waits for the values.
  void log_histogram(std::string_view tag, const torch::Tensor& values, int64_t step) override;
  void flush() override;
  void finish(bool failed) override;

  /// The name of the event file, its size at this moment, and whether it has a graph.
  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;

  /// The path of the event file; empty before `start`.
  const std::filesystem::path& path() const { return file_.path(); }

 private:
  /// An event file's name, and its size in bytes when a checkpoint was taken.
  struct Mark {
    std::string file;
    int64_t offset = 0;
    bool has_graph = false;
  };
  /// Cuts the file back to what a checkpoint recorded of it, and opens it.
  void cut_back(const std::filesystem::path& path, int64_t offset);
  void begin_file(const std::filesystem::path& folder);

  TensorBoardLoggerOptions options_;
  LogFile file_;
  events::Row row_;
  bool has_settings_ = false;
  bool has_graph_ = false;
  std::optional<Mark> mark_;
};

}  // namespace levin
