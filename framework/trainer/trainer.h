#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <levin/framework/data/datamodule.h>
#include <levin/framework/logged/history.h>
#include <levin/framework/loggers/logger.h>
#include <levin/framework/profiling/profiler.h>
#include <levin/framework/run/callback.h>
#include <levin/framework/run/hook_set.h>
#include <levin/framework/run/module.h>
#include <levin/framework/run/trainer_options.h>

namespace levin {

/// Drives a Module over a DataModule: fit, validate, test, predict. Lightning: Trainer.
///
/// A Trainer does what it is told and no more: callbacks and loggers are those added (add_defaults
/// in <levin/callbacks/defaults.h> adds the ones Lightning has by default).
class Trainer {
 public:
  /// Throws ConfigError for options that can't be, before any device is touched.
  explicit Trainer(TrainerOptions options = {});
  Trainer(Trainer&&) noexcept;
  ~Trainer();

  /// Adds a callback made from its options and returns it; it lives as long as the Trainer.
  template <class C>
  C& add(typename C::Options options = {}) {
    return static_cast<C&>(add(std::make_unique<C>(std::move(options)), overridden_hooks<C>()));
  }
  /// Adds a callback made elsewhere; `used` may say which of the hooks inside a step it overrides.
  Callback& add(std::unique_ptr<Callback> callback, HookSet used = HookSet::all());
  /// The same for a logger.
  template <class L>
  L& add_logger(typename L::Options options = {}) {
    return static_cast<L&>(add_logger(std::make_unique<L>(std::move(options))));
  }
  Logger& add_logger(std::unique_ptr<Logger> logger);
  /// Tells `profiler` of every run from the next one on, instead of the one of the options; null:
  /// none.
  void set_profiler(std::unique_ptr<Profiler> profiler);
  /// Uses `factory` instead of Module::configure_optimizers (YAML's `optimizer`, `lr_scheduler`).
  void set_optimizers(std::function<Optimizers(Module&)> factory);

  /// Trains until a limit is reached. With `ckpt_path` (a file, "last" or "best") it goes on from
  /// that checkpoint with the same bits as not having stopped, in the same run folder.
  /// Throws ConfigError, DataError, ModuleError, CheckpointError; LibTorch's errors pass through.
  History fit(Module& module, DataModule& data, const std::string& ckpt_path = {});
  /// One pass over the validation (test) data: the metrics, rows weighted equally. With
  /// `ckpt_path`, its weights are put into the module first.
  MetricMap validate(Module& module, DataModule& data, const std::string& ckpt_path = {});
  MetricMap test(Module& module, DataModule& data, const std::string& ckpt_path = {});
  /// What predict_step (by default `Module::predict`) returned, rows in the order of the data, on
  /// the CPU.
  NamedTensors predict(Module& module, DataModule& data, const std::string& ckpt_path = {});

  /// Writes a checkpoint of the state `fit` ended with; its module and data must still be there.
  /// Throws ConfigError where no fit came just before.
  void save_checkpoint(const std::filesystem::path& path);

  const TrainerOptions& options() const;
  const std::vector<std::unique_ptr<Callback>>& callbacks() const;
  const std::vector<std::unique_ptr<Logger>>& loggers() const;
  /// Metrics, progress and paths of the run in progress or last ended.
  Run& run();
  /// Where the time of the run in progress or last ended went; empty without a profiler.
  Profile profile() const;
  /// The checkpoints "best" and "last" stand for; empty where none was saved.
  const std::filesystem::path& best_checkpoint() const;
  const std::filesystem::path& last_checkpoint() const;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace levin
