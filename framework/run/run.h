#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/core/ranks.h>
#include <levin/framework/core/stage.h>
#include <levin/framework/logged/history.h>
#include <levin/framework/logged/logged_values.h>
#include <levin/framework/run/named_value.h>
#include <levin/framework/run/place.h>
#include <levin/framework/run/progress.h>
#include <levin/framework/run/requests.h>

namespace levin {

class Batch;
class DataLoaders;
class Logger;
class Module;
class Optimizer;
class Optimizers;
class Step;
struct StageLoaders;

/// The run in progress, as hooks get it: where it is, its metrics, `log`, and requests.
///
///     void on_train_epoch_end(levin::Run& run) override {
///       if (run.metrics().at("val_loss") < 0.1) run.stop("val_loss is low enough");
///     }
///
/// A request (stop, save, load_weights, accumulate) is only recorded. The loop acts on it at the
/// next step boundary, when no step is half done; Hooks shows where the boundaries are. A Run lives
/// as long as its Trainer, and only the thread that runs the Trainer may use it.
class Run {
 public:
  /// What the Trainer is doing, the epoch counted from 0, and the number of optimizer steps done;
  /// the same as in `progress`.
  Stage stage() const { return progress_.stage; }
  int64_t epoch() const { return progress_.epoch; }
  int64_t global_step() const { return progress_.global_step; }
  const Progress& progress() const { return progress_; }
  /// The number of optimizer steps that this fit will make in all, unless something ends it early,
  /// for schedules that need a length: ceil(batches / accumulate) * max_epochs, but at most
  /// max_steps. Nothing if that isn't known. Within configure_optimizers, call
  /// Module::estimated_stepping_batches. Lightning: Trainer.estimated_stepping_batches.
  std::optional<int64_t> estimated_stepping_batches() const;

  /// The module that is trained or evaluated.
  Module& module() const { return *module_; }
  /// The optimizers with their schedulers; empty outside fit.
  Optimizers& optimizers() const { return *optimizers_; }
  /// The loaders of the stage in progress or, after it, of the last one: in fit those of training
  /// and of validation (of the present epoch, if they are reloaded), otherwise those of the stage.
  /// The others are empty, as all are until the stage has asked for them.
  const DataLoaders& train_dataloader() const;
  const DataLoaders& val_dataloaders() const;
  const DataLoaders& test_dataloaders() const;
  const DataLoaders& predict_dataloaders() const;

  /// The latest value of every metric logged so far: that of the last step, the last epoch and the
  /// last validation. A metric that was logged both on_step and on_epoch also has the keys
  /// `name_step` and `name_epoch`; under its plain name, it has the step's value during the epoch
  /// and the epoch's value afterwards, until the next epoch's first step. Lightning:
  /// Trainer.callback_metrics.
  ///
  /// If values are on a GPU, this waits for them and copies them, so don't call it in every step.
  /// The reference stays valid, and later calls update the map.
  const MetricMap& metrics();
  /// The same for the metrics that were logged with `prog_bar`.
  const MetricMap& progress_bar_metrics();
  /// The latest values that the loggers were given. Empty where there are none: without loggers,
  /// and on ranks other than 0. Lightning: Trainer.logged_metrics.
  const MetricMap& logged_metrics() const { return logged_; }
  /// How many times the metric has got a new value in this fit: from a step, an epoch or a
  /// validation. 0 if it hasn't been logged yet.
  ///
  /// `metrics` goes on showing a value after the moment it was logged, for example between two
  /// validations. A callback that must act on each value once compares this number with the one
  /// that it saw last (callbacks/monitor.h does that).
  int64_t updates_of(std::string_view metric);
  /// The metrics of each epoch so far.
  const History& history() const { return history_; }
  /// The loggers of this run, for texts, images, histograms and files (framework/loggers/logger.h).
  /// Empty on ranks other than 0, with fast_dev_run, and in predict, which starts no loggers.
  ///
  ///     for (levin::Logger* logger : run.loggers()) {
  ///       logger->log_histogram("weights", weight_, run.global_step());
  ///     }
  const std::vector<Logger*>& loggers() const;

  /// Logs a value of the epoch as `name`. If a name is logged several times in an epoch, the mean
  /// gives each of the values the same weight. A tensor must have one element. Throws ModuleError
  /// in hooks that are outside an epoch (setup, on_fit_start ...) and in predict.
  ///
  /// The values of all ranks are combined at the end of the epoch. A mean weights each rank's value
  /// by the rows that the rank has seen in the epoch, or by `batch_size` if that is given; so the
  /// mean of a value that is a mean over the rank's own rows is that over all rows. For what isn't
  /// a mean over rows, such as a value from a confusion matrix, `reduce` the parts first. When
  /// callbacks of Order::monitor or checkpoint are called in on_train_epoch_end, the values are
  /// already combined: such a callback has to log what is the same on all ranks.
  void log(std::string_view name, double value, LogOptions options = {});
  void log(std::string_view name, const torch::Tensor& value, LogOptions options = {});
  /// Logs several values with the same options: `run.log_dict({{"f1", f1}, {"recall", recall}})`.
  /// Throws ModuleError for a metric with a state, which is logged through a Step.
  void log_dict(std::initializer_list<NamedValue> values, const LogOptions& options = {});
  /// Combines a tensor of each rank, elementwise, and returns the result on every rank, with the
  /// same bits. A collective: every rank has to call this equally often and in the same order, with
  /// tensors of the same shape and type; so call it at the end of an epoch and not for each batch,
  /// of which ranks may have different numbers.
  ///
  ///     void on_validation_epoch_end(levin::Run& run) override {
  ///       const auto all = run.reduce(confusion_);      // [classes, classes] int64, of all rows
  ///       run.log("balanced_acc", (all.diag() / all.sum(1)).mean());
  ///     }
  ///
  /// The result has the shape, type and device of `own`; only the mean of integers is a float64. A
  /// mean gives each rank the same weight. Of ranks that share a model (Place::model_size), and so
  /// have the same rows, only the tensor of the first one counts. Throws ModuleError for an
  /// undefined tensor, and DistributedError if the ranks' tensors differ in shape or type.
  torch::Tensor reduce(const torch::Tensor& own, Reduce how = Reduce::sum);
  /// Returns the tensors of all ranks on every rank, in the order of the ranks: [ranks, ...] for an
  /// `own` of shape [...]. Of ranks that share a model (Place::model_size), only that of the first
  /// one is there. A collective, as `reduce`; it copies through the host. Throws ModuleError for an
  /// undefined tensor, and DistributedError, naming the rank, if shapes or types differ.
  ///
  /// If `sync_grads`, gradients flow back through it: `own` gets the sum of the gradients that the
  /// losses of all ranks have for it, and every rank has to call `backward` through the result. It
  /// throws ModuleError if ranks share a model. Lightning: LightningModule.all_gather.
  ///
  ///     auto all = step.all_gather(embed(batch.input()), /*sync_grads=*/true).flatten(0, 1);
  torch::Tensor all_gather(const torch::Tensor& own, bool sync_grads = false);

  /// Requests that training end at the next boundary, or as soon as min_epochs and min_steps are
  /// reached. `reason` becomes `History::stop_reason`. If several callbacks ask, the first reason
  /// counts. The request stands once it is made.
  void stop(std::string reason);
  /// The same for a request that may be dropped: `reason` is called at each boundary until training
  /// ends. It returns the reason that there is now, or an empty text, which ends the request. So a
  /// wish that min_epochs or min_steps holds back is judged anew when it can be met. `reason` must
  /// stay callable until the fit ends.
  void stop_while(std::function<std::string()> reason);
  /// Whether a stop was requested since the last boundary.
  bool stop_requested() const { return !requests_.stops.empty(); }
  /// Prints "warning: " and the text to stderr, on rank 0. Each Trainer prints a text only once,
  /// and of several texts about one `fact`, which may have any name, only the first.
  void warn(const std::string& text, const std::string& fact = {});
  /// Prints the text and a newline to stdout, on rank 0 alone. Lightning: LightningModule.print.
  void print(std::string_view text) const;
  /// Requests a checkpoint at the next boundary. A relative path is below `log_dir()`. Every rank
  /// has to call this, because each adds its part to the checkpoint.
  void save(std::filesystem::path path, SaveOptions options = {});
  /// Whether a checkpoint was requested and isn't written yet. `path` is the whole path, with
  /// `log_dir()` in front if the requested one was relative.
  bool save_requested(const std::filesystem::path& path) const;
  /// Waits until the checkpoints that are being written in the background
  /// (SaveOptions::asynchronous) are on disk; to be called before one of them is looked at. Throws
  /// CheckpointError if one couldn't be written.
  void wait_for_saves() {
    if (wait_for_saves_) wait_for_saves_();
  }
  /// Requests that weights be loaded into the module at the next boundary: a Module's state_dict,
  /// or those in a checkpoint. The checkpoint is read at once; CheckpointError says if that fails.
  void load_weights(StateDict weights);
  void load_weights(const std::filesystem::path& checkpoint);
  /// Requests that from the next boundary on `n` batches make an optimizer step. Throws ConfigError
  /// if n < 1.
  void accumulate(int64_t n);

  /// Reads the training data of an epoch once more and calls `visit` for each batch, on its device.
  /// What is logged through the Step is dropped, and the random generators are afterwards what they
  /// were before. For statistics of the data by the weights at the end of training, such as those
  /// of batch norms. Every rank has to call this. Throws ModuleError outside of on_train_end, and
  /// if the optimizer is a solver, which reads no batches.
  void visit_training_batches(const std::function<void(const Batch&, Step&)>& visit);

  /// The folder of the run, `<default_root_dir>/levin_logs/version_K`. The first call makes the
  /// folder on rank 0; other ranks wait until rank 0 has called it, so every rank that asks needs
  /// rank 0 to ask.
  const std::filesystem::path& log_dir();
  /// Sets the checkpoints that `ckpt_path = "best"` and `"last"` stand for from now on. Callbacks
  /// that save call these.
  void set_best_checkpoint(std::filesystem::path path) { best_checkpoint_ = std::move(path); }
  void set_last_checkpoint(std::filesystem::path path) { last_checkpoint_ = std::move(path); }

  /// The ranks that train together. What a rank finds out by itself, such as the time or whether a
  /// file exists, may differ from rank to rank; a decision that depends on it has to be made
  /// through these.
  Ranks& ranks() const { return *ranks_; }
  /// The host and the device of this rank.
  const Place& place() const { return place_; }
  /// Whether this is rank 0, the one that writes files and prints. Lightning: is_global_zero.
  bool is_global_zero() const { return ranks_->is_zero(); }

 protected:
  // The part below is for the loops, which use RunControl (run_control.h).
  Run() = default;
  ~Run() = default;

  void note_update(const std::string& metric) {
    ++updates_[metric];
    updated_in_[metric] = progress_.epoch;
  }
  /// Adds the values of the step just done to those that `metrics` and `progress_bar_metrics` show
  /// later, too.
  void keep_step_values();

  Progress progress_;
  Requests requests_;
  History history_;
  MetricMap metrics_;
  MetricMap progress_bar_;
  MetricMap logged_;
  UpdateCounts updates_;            // of `metrics_`
  UpdateCounts updated_in_;         // the epoch of the last of them
  std::set<std::string> warnings_;  // that were printed: texts, and names of facts
  LoggedValues* active_ = nullptr;  // where `log` puts values; null while logging isn't allowed
  Module* module_ = nullptr;
  Optimizers* optimizers_ = nullptr;
  Ranks* ranks_ = &single_rank();
  Place place_;
  const std::vector<Logger*>* loggers_ = nullptr;  // null: there are none
  std::shared_ptr<const StageLoaders> loaders_;    // null: all are empty
  std::function<void(const std::function<void(const Batch&, Step&)>&)> training_pass_;
  std::function<void()> wait_for_saves_;  // empty: no checkpoint is written in the background
  std::filesystem::path runs_folder_;
  std::filesystem::path log_dir_;
  std::filesystem::path best_checkpoint_;
  std::filesystem::path last_checkpoint_;
};

}  // namespace levin
