#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <levin/framework/core/write_signals.h>
#include <levin/framework/loops/fit_loop.h>
#include <levin/framework/loops/predict_loop.h>
#include <levin/framework/profiling/profilers.h>
#include <levin/framework/run/module_callbacks.h>
#include <levin/framework/threads/threads.h>
#include <levin/framework/trainer/effective_options.h>
#include <levin/framework/trainer/fit_tuner.h>
#include <levin/framework/trainer/job_restarts.h>
#include <levin/framework/trainer/run_loggers.h>
#include <levin/framework/trainer/starting_point.h>
#include <levin/framework/trainer/trainer.h>

namespace levin {

/// What a Trainer has, and its stages. trainer.cpp has these; prepare_fit.cpp has what comes before
/// the loop of fit.
class Trainer::Implementation {
 public:
  explicit Implementation(TrainerOptions given)
      : options(effective_options(std::move(given))), precision(options.precision) {
    occupy_standard_descriptors();
    run.set_runs_folder(std::filesystem::path(options.default_root_dir) / "levin_logs");
    if (!options.profiler.empty()) profiler = make_profiler(options.profiler);
  }

  TrainerOptions options;
  Precision precision;
  std::vector<std::unique_ptr<Callback>> callbacks;
  std::vector<HookList::Entry> hook_entries;
  ModuleCallbacks module_callbacks;  // of the run in progress, or of the last one
  RunLoggers loggers;
  std::function<Optimizers(Module&)> optimizers_factory;
  std::unique_ptr<Profiler> profiler;  // null: nothing is measured
  RunControl run;

  History fit(Module& module, DataModule& data, const std::string& ckpt_path);
  MetricMap evaluate(Stage stage, Module& module, DataModule& data, const std::string& ckpt_path);
  NamedTensors predict(Module& module, DataModule& data, const std::string& ckpt_path,
                       PredictLoop::Take take = {});
  void save_checkpoint(const std::filesystem::path& path);
  void print(std::string_view text) const;
  DataModule& keep(StageLoaders loaders);

 private:
  std::optional<StartingPoint> begin(Module& module, DataModule& data, Stage stage,
                                     const std::string& ckpt_path);
  void end(DataModule& data, Stage stage);
  void set_threads(Stage stage);
  void start_loggers(Module& module, DataModule& data);
  void finish_loggers();
  void make_optimizers(Module& module, DataModule& data, const DataLoaders& train);
  void prepare_fit(Module& module, DataModule& data, const std::optional<StartingPoint>& start);
  void let_loop_reload(Module& module, DataModule& data, const std::optional<StartingPoint>& start,
                       int64_t loader_epoch);
  LoopParts parts(Module& module, DataModule& data);
  template <class Work>
  auto guarded(DataModule& data, Stage stage, Work work);
  void clear_up(const std::exception& error, DataModule& data);

  std::unique_ptr<Strategy> strategy_;
  JobRestarts restarts_{run};
  std::optional<HookList> hooks_;
  std::vector<Callback*> callback_list_;
  Optimizers optimizers_;
  TunedSettings tuned_;  // of the fit in progress or, after it, of the last one
  std::unique_ptr<LoadersDataModule> own_data_;  // of loaders that were given without one
  std::unique_ptr<FitLoop> fit_loop_;            // kept after fit, for save_checkpoint
  ThreadScope* threads_ = nullptr;               // of the run in progress, like the next
  DefaultThreads* default_threads_ = nullptr;
  ThreadSetting chosen_threads_{.threads = 0};  // by the last fit, if the options give none
};

}  // namespace levin
