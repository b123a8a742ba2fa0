#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include <levin/framework/core/type_name.h>
#include <levin/framework/logged/logged_values.h>
#include <levin/framework/run/run.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

class Batch;
class Module;

/// Receives the metrics of a run and writes them somewhere. Lightning: Logger.
///
/// Derive from it to send metrics elsewhere, and add the logger with `Trainer::add_logger`:
///
///     class PrintLogger : public levin::Logger {
///      public:
///       void start(levin::Run&) override {}
///       void log_metrics(const levin::MetricMap& metrics, int64_t, int64_t step) override {
///         for (const auto& [name, value] : metrics)
///           std::printf("%ld %s %g\n", step, name.c_str(), value);
///       }
///     };
///     trainer.add_logger<PrintLogger>();
///
/// With several ranks, only the loggers of rank 0 are called. All calls come from the thread that
/// runs the Trainer. An exception that a logger throws ends the run, so a logger that can't write
/// for a while should say so once and try again, as the loggers that come with Levin do.
///
/// Texts, images, histograms and files aren't logged by the Trainer, but by whoever has the logger:
///
///     auto& board = trainer.add_logger<levin::TensorBoardLogger>();
///     board.log_image("filters", image, run.global_step());      // in a callback
class Logger {
 public:
  virtual ~Logger() = default;

  /// Called once before the first metric. If the run resumes from a checkpoint, `load_state_dict`
  /// has been called before. `run.log_dir()` is the folder to write files to.
  virtual void start(Run& run) = 0;
  /// Receives the metrics that were logged with on_step. In training it is called every
  /// `log_every_n_steps` steps, unless there are no such metrics, and `step` is the number of the
  /// last optimizer step, counted from 0 over all epochs. In validation and test it is called after
  /// each batch that logged such metrics, and `step` counts those batches from 0, over all passes.
  virtual void log_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) = 0;
  /// Whether `log_metrics` keeps anything. If no logger does, fit doesn't warn of epochs that are
  /// shorter than `log_every_n_steps`.
  virtual bool keeps_steps() const { return true; }
  /// Receives the metrics of a whole training epoch, validation or test.
  virtual void log_epoch_metrics(const MetricMap& metrics, int64_t epoch, int64_t step) {
    log_metrics(metrics, epoch, step);
  }
  /// Receives the settings of the module ("model"), the data module ("data") and the Trainer
  /// ("trainer"), and the seed ("seed"). Called once, after `start`.
  virtual void log_hyper_parameters(const Value& /*settings*/) {}
  /// Whether fit shall call `log_graph` at its start. False by default, because the input may have
  /// to be read for it.
  virtual bool keeps_graph() const { return false; }
  /// Receives the module of a fit and an input that it predicts, from which the graph of its
  /// operations can be made (`module_graph`). Called once, after `log_hyper_parameters`, if
  /// `keeps_graph` says so. The module is on its device and has the weights that the fit begins
  /// with; `input` is its `example_input_array`, or else the first training batch. By default it
  /// does nothing. Lightning: Logger.log_graph.
  virtual void log_graph(Module& /*module*/, const Batch& /*input*/) {}
  /// Hands everything that is buffered to the operating system. Called before each checkpoint, so
  /// that a checkpoint never knows of rows that aren't in the file.
  virtual void flush() {}
  /// Called at the end of the run. `failed` is true if an exception ended it.
  virtual void finish(bool /*failed*/) {}

  /// The name under which checkpoints keep this logger's state; by default the name of its class
  /// without namespaces. Loggers that share a name are told apart by the order in which they were
  /// added.
  virtual std::string state_key() const { return unqualified_name(typeid(*this)); }
  /// Returns what a resumed run needs to cut the logger's file back to this moment.
  virtual StateDict state_dict() const { return {}; }
  virtual void load_state_dict(const StateDict& /*state*/) {}

  // Not every logger can keep the following. By default they are ignored, and a note on stderr says
  // so the first time.

  /// Receives a text, which may be Markdown.
  virtual void log_text(std::string_view tag, std::string_view text, int64_t step);
  /// Receives an image [channels, height, width] with 1 (grey), 3 (RGB) or 4 channels (RGBA), of
  /// uint8 from 0 to 255 or of floats from 0 to 1. Throws ModuleError for another shape or type.
  virtual void log_image(std::string_view tag, const torch::Tensor& image, int64_t step);
  /// Receives any number of values, such as a layer's weights, whose distribution is of interest.
  virtual void log_histogram(std::string_view tag, const torch::Tensor& values, int64_t step);
  /// Receives a file that belongs to the run, to be stored under its name in `folder`, which is
  /// relative to the run's artifacts.
  virtual void log_artifact(const std::filesystem::path& file, std::string_view folder = {});

 private:
  enum class Kind { text, image, histogram, artifact };
  /// Says once for each kind that this logger ignores it.
  void ignore(Kind kind, std::string_view name);

  unsigned ignored_ = 0;  // the kinds of which that was said, a bit each
};

}  // namespace levin
