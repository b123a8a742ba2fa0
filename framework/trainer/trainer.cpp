#include <levin/framework/trainer/trainer.h>

#include <optional>

#include <c10/core/InferenceMode.h>

#include <fmt/format.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/files.h>
#include <levin/framework/loops/evaluation_loop.h>
#include <levin/framework/loops/fit_loop.h>
#include <levin/framework/loops/limits.h>
#include <levin/framework/loops/predict_loop.h>
#include <levin/framework/profiling/trace_profiler.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/threads/thread_policy.h>
#include <levin/framework/trainer/global_switches.h>
#include <levin/framework/trainer/job_restarts.h>

namespace levin {
namespace {

namespace fs = std::filesystem;

/// The options with what fast_dev_run and overfit_batches mean put into the others.
TrainerOptions effective(TrainerOptions options) {
  validate(options);
  if (const int64_t n = options.fast_dev_run.count; n > 0) {
    options.max_epochs = 1;
    options.max_steps = n;
    options.num_sanity_val_steps = 0;
    options.val_check_interval = 1.0;
    options.check_val_every_n_epoch = 1;
    options.limit_train_batches = options.limit_val_batches = n;
    options.limit_test_batches = options.limit_predict_batches = n;
  }
  if (!is_off(options.overfit_batches)) {
    options.limit_train_batches = options.limit_val_batches = options.overfit_batches;
  }
  return options;
}

DataLoaders in_order(const DataLoaders& loaders) {
  DataLoaders result;
  for (const auto& loader : loaders) result.push_back(loader.without_shuffle());
  return result;
}

}  // namespace

class Trainer::Implementation {
 public:
  explicit Implementation(TrainerOptions given) : options(effective(std::move(given))) {
    run.set_runs_folder(fs::path(options.default_root_dir) / "levin_logs");
    if (options.profiler == "simple") profiler = std::make_unique<SimpleProfiler>();
    if (options.profiler == "trace") profiler = std::make_unique<TraceProfiler>();
  }

  TrainerOptions options;
  std::vector<std::unique_ptr<Callback>> callbacks;
  std::vector<HookList::Entry> hook_entries;
  std::vector<std::unique_ptr<Logger>> loggers;
  std::function<Optimizers(Module&)> optimizers_factory;
  std::unique_ptr<Profiler> profiler;  // null: nothing is measured
  RunControl run;

  History fit(Module& module, DataModule& data, const std::string& ckpt_path);
  MetricMap evaluate(Stage stage, Module& module, DataModule& data, const std::string& ckpt_path);
  NamedTensors predict(Module& module, DataModule& data, const std::string& ckpt_path);
  void save_checkpoint(const fs::path& path);

 private:
  void begin(Module& module, DataModule& data, Stage stage);
  void end(DataModule& data, Stage stage);
  fs::path resolve(const std::string& ckpt_path) const;
  void load_weights(Module& module, const std::string& ckpt_path);
  void set_threads(Stage stage);
  StateDict load(const fs::path& path);
  void start_loggers(Module& module, DataModule& data);
  void finish_loggers();
  void prepare_fit(Module& module, DataModule& data, const std::string& ckpt_path);
  LoopParts parts(Module& module, DataModule& data);
  void clear_up_after(const std::exception& error);
  template <class Work>
  auto guarded(DataModule& data, Stage stage, Work work);

  std::unique_ptr<Strategy> strategy_;
  JobRestarts restarts_{run};
  std::optional<HookList> hooks_;
  std::vector<Callback*> callback_list_;
  std::vector<Logger*> logger_list_;
  Optimizers optimizers_;
  std::unique_ptr<FitLoop> fit_loop_;           // kept after fit, for save_checkpoint
  ThreadScope* threads_ = nullptr;              // of the run in progress
  ThreadSetting chosen_threads_{.threads = 0};  // by the last fit with threads = "auto"
};

LoopParts Trainer::Implementation::parts(Module& module, DataModule& data) {
  return {module,       data,    *strategy_, *hooks_,        callback_list_,
          logger_list_, options, run,        profiler.get(), threads_};
}

/// The run's number of threads; "auto" finds one in fit only, and later stages use that.
void Trainer::Implementation::set_threads(Stage stage) {
  ThreadSetting setting{.threads = fixed_threads(options.threads)};
  if (stage != Stage::fit && wants_thread_trial(options.threads)) setting = chosen_threads_;
  if (setting.threads > 0) threads_->set(setting);
}

void Trainer::Implementation::begin(Module& module, DataModule& data, Stage stage) {
  fit_loop_.reset();
  optimizers_ = {};
  if (!strategy_) strategy_ = make_strategy(options);
  auto entries = hook_entries;
  if (options.fast_dev_run.count > 0) {  // nothing is saved: who would save isn't asked
    std::erase_if(entries, [](const HookList::Entry& entry) {
      return entry.first->order() == Callback::Order::checkpoint;
    });
  }
  hooks_.emplace(entries, module, profiler.get());
  callback_list_.clear();
  for (const auto& entry : entries) callback_list_.push_back(entry.first);
  if (options.fast_dev_run.count == 0 && strategy_->ranks().is_zero()) {
    for (const auto& logger : loggers) logger_list_.push_back(logger.get());
  }
  run.set_module(&module);
  run.set_optimizers(&optimizers_);
  run.set_ranks(strategy_->ranks());
  run.requests() = {};
  run.progress() = Progress{.stage = stage, .epoch = run.epoch(), .global_step = run.global_step()};
  std::function<fs::path()> folder;  // none: nothing may be written
  if (options.fast_dev_run.count == 0) folder = [this] { return run.log_dir(); };
  strategy_->set_profiler(profiler.get());
  if (profiler) profiler->joined(strategy_->ranks(), &run.progress().global_step, folder);
  if (strategy_->local_rank() == 0) data.prepare_data();
  strategy_->ranks().barrier();
  data.setup(stage);
  hooks_->call(&Hooks::setup, stage, run);
}

void Trainer::Implementation::end(DataModule& data, Stage stage) {
  strategy_->ranks().barrier();  // what rank 0 has written is there
  data.teardown(stage);
  hooks_->call(&Hooks::teardown, stage, run);
  strategy_->teardown(run.module());
}

/// Tells everybody of what ended the run; what goes wrong in that must not hide it.
void Trainer::Implementation::clear_up_after(const std::exception& error) {
  const auto attempt = [](const char* what, const auto& work) {
    try {
      work();
    } catch (const std::exception& another) {
      fmt::print(stderr, "{}: {}\n", what, another.what());
    }
  };
  run.set_active(nullptr);
  if (hooks_) {
    for (Hooks* one : hooks_->everybody()) {
      attempt("on_exception failed too", [&] { one->on_exception(error, run); });
    }
  }
  attempt("no checkpoint could be saved", [&] {
    if (fit_loop_) fit_loop_->save_after_exception(error);
  });
  for (Logger* logger : logger_list_) {
    attempt("a logger failed too", [&] { logger->finish(/*failed=*/true); });
  }
}

template <class Work>
auto Trainer::Implementation::guarded(DataModule& data, Stage stage, Work work) {
  const GlobalSwitches switches(options);
  ThreadScope threads;
  threads_ = &threads;
  set_threads(stage);
  if (profiler) profiler->begin_run(stage);
  hooks_.reset();  // of another module, perhaps gone by now
  logger_list_.clear();
  try {
    auto result = work();
    end(data, stage);
    finish_loggers();
    if (profiler) profiler->end_run(/*failed=*/false);
    return result;
  } catch (const std::exception& error) {
    const std::string cause = strategy_ ? strategy_->fail(error) : std::string();
    clear_up_after(error);
    if (profiler) profiler->end_run(/*failed=*/true);
    if (!cause.empty())
      throw DistributedError(fmt::format("rank {}: {}", run.ranks().rank(), cause));
    rethrow_with_place(run);
  }
}

fs::path Trainer::Implementation::resolve(const std::string& ckpt_path) const {
  if (ckpt_path != "best" && ckpt_path != "last") return ckpt_path;
  const auto& path = ckpt_path == "best" ? run.best_checkpoint() : run.last_checkpoint();
  if (path.empty()) {
    throw ConfigError::invalid_value("ckpt_path", ckpt_path,
                                     "this Trainer has saved none yet; add a ModelCheckpoint, or "
                                     "give a file");
  }
  return path;
}

StateDict Trainer::Implementation::load(const fs::path& path) {
  const ProfilePart profiled(profiler.get(), Part::files);
  return load_checkpoint(path);
}

void Trainer::Implementation::load_weights(Module& module, const std::string& ckpt_path) {
  if (ckpt_path.empty()) return;
  const StateDict checkpoint = load(resolve(ckpt_path));
  hooks_->call(&Hooks::on_load_checkpoint, checkpoint, run);
  module.load_state_dict(checkpoint.child("model"));
}

void Trainer::Implementation::start_loggers(Module& module, DataModule& data) {
  const ProfilePart profiled(profiler.get(), Part::loggers);
  Value settings;
  settings["model"] = module.hyper_parameters();
  settings["data"] = data.hyper_parameters();
  settings["seed"] = static_cast<int64_t>(global_seed());
  settings["trainer"] = to_value(describe(options));
  for (Logger* logger : logger_list_) {
    logger->start(run);
    logger->log_hyper_parameters(settings);
  }
}

void Trainer::Implementation::finish_loggers() {
  const ProfilePart profiled(profiler.get(), Part::loggers);
  for (Logger* logger : logger_list_) logger->finish(/*failed=*/false);
}

void Trainer::Implementation::prepare_fit(Module& module, DataModule& data,
                                          const std::string& ckpt_path) {
  auto train = data.train_dataloader();
  auto val = data.val_dataloader();
  if (train.empty()) {
    throw DataError::empty("train_dataloader()", "fit needs at least one training loader");
  }
  module.check_data(train);
  module.check_data(val);
  if (!is_off(options.overfit_batches)) {
    train = in_order(train);
    val = in_order(val);
  }
  std::optional<StateDict> checkpoint;
  fs::path resumed_folder;
  if (!ckpt_path.empty()) {
    const auto path = resolve(ckpt_path);
    checkpoint = load(path);
    if (!checkpoint->has_child("loop")) {
      throw CheckpointError::mismatch("'" + path.string() + "' for going on with training",
                                      {"it holds weights only"});
    }
    resumed_folder = run_folder_of(path);
    train = with_rows_a_step_of(*checkpoint, train, strategy_->rank_share());
  }
  strategy_->setup(module);
  optimizers_ = optimizers_factory ? optimizers_factory(module) : module.configure_optimizers();
  const auto named = module.named_parameters();
  NamedTensors names;
  for (const auto& item : named) names.emplace_back(item.key(), item.value());
  for (auto& entry : optimizers_.entries()) entry.optimizer->set_names(names);
  strategy_->shard_optimizers(optimizers_);
  run.history() = {};
  run.known_metrics().clear();
  run.known_progress_bar().clear();
  // Loaders without a seed of their own take the run's when they are opened.
  if (checkpoint) load_random_state(checkpoint->child("random"));
  fit_loop_ = std::make_unique<FitLoop>(parts(module, data), train, std::move(val), optimizers_);
  if (!run.ranks().is_zero()) reseed_for_rank(run.ranks().rank());
  if (!checkpoint) return;
  fit_loop_->resume(*checkpoint);
  if (!resumed_folder.empty()) run.set_log_dir(resumed_folder);
}

History Trainer::Implementation::fit(Module& module, DataModule& data,
                                     const std::string& ckpt_path) {
  return guarded(data, Stage::fit, [&] {
    begin(module, data, Stage::fit);
    prepare_fit(module, data, restarts_.begin_fit(*strategy_, ckpt_path));
    hooks_->call(&Hooks::on_fit_start, run);
    start_loggers(module, data);
    fit_loop_->run();
    chosen_threads_ = fit_loop_->threads();
    restarts_.end_fit(run.history().interrupted);
    draw_as_rank_zero(run.ranks());
    hooks_->call(&Hooks::on_fit_end, run);
    return run.history();
  });
}

MetricMap Trainer::Implementation::evaluate(Stage stage, Module& module, DataModule& data,
                                            const std::string& ckpt_path) {
  const bool is_test = stage == Stage::test;
  const char* option = is_test ? "limit_test_batches" : "limit_val_batches";
  const auto& limit = is_test ? options.limit_test_batches : options.limit_val_batches;
  return guarded(data, stage, [&] {
    begin(module, data, stage);
    load_weights(module, ckpt_path);
    strategy_->setup(module);
    auto loaders = is_test ? data.test_dataloader() : data.val_dataloader();
    if (loaders.empty()) {
      throw DataError::empty(is_test ? "test_dataloader()" : "val_dataloader()",
                             "give the data module data for this stage");
    }
    module.check_data(loaders);
    EvaluationLoop loop(parts(module, data), std::move(loaders), option, limit);
    start_loggers(module, data);
    const c10::InferenceMode inference(options.inference_mode);
    const at::NoGradGuard no_grad;
    return loop.run(stage);
  });
}

NamedTensors Trainer::Implementation::predict(Module& module, DataModule& data,
                                              const std::string& ckpt_path) {
  return guarded(data, Stage::predict, [&] {
    begin(module, data, Stage::predict);
    load_weights(module, ckpt_path);
    strategy_->setup(module);
    auto loaders = data.predict_dataloader();
    if (loaders.empty()) {
      throw DataError::empty("predict_dataloader()", "give the data module data to predict");
    }
    PredictLoop loop(parts(module, data), std::move(loaders));
    return loop.run();
  });
}

void Trainer::Implementation::save_checkpoint(const fs::path& path) {
  if (!fit_loop_) {
    throw ConfigError::conflict("save_checkpoint without a fit just before",
                                "it writes the state that fit ended with: call it before "
                                "validate, test or predict");
  }
  fit_loop_->save_checkpoint(path);
}

Trainer::Trainer(TrainerOptions options)
    : implementation_(std::make_unique<Implementation>(std::move(options))) {}
Trainer::Trainer(Trainer&&) noexcept = default;
Trainer::~Trainer() = default;

Callback& Trainer::add(std::unique_ptr<Callback> callback, HookSet used) {
  implementation_->hook_entries.emplace_back(callback.get(), used);
  return *implementation_->callbacks.emplace_back(std::move(callback));
}

Logger& Trainer::add_logger(std::unique_ptr<Logger> logger) {
  return *implementation_->loggers.emplace_back(std::move(logger));
}

void Trainer::set_profiler(std::unique_ptr<Profiler> profiler) {
  implementation_->profiler = std::move(profiler);
}

void Trainer::set_optimizers(std::function<Optimizers(Module&)> factory) {
  implementation_->optimizers_factory = std::move(factory);
}

History Trainer::fit(Module& module, DataModule& data, const std::string& ckpt_path) {
  return implementation_->fit(module, data, ckpt_path);
}

MetricMap Trainer::validate(Module& module, DataModule& data, const std::string& ckpt_path) {
  return implementation_->evaluate(Stage::validate, module, data, ckpt_path);
}

MetricMap Trainer::test(Module& module, DataModule& data, const std::string& ckpt_path) {
  return implementation_->evaluate(Stage::test, module, data, ckpt_path);
}

NamedTensors Trainer::predict(Module& module, DataModule& data, const std::string& ckpt_path) {
  return implementation_->predict(module, data, ckpt_path);
}

void Trainer::save_checkpoint(const fs::path& path) { implementation_->save_checkpoint(path); }
const TrainerOptions& Trainer::options() const { return implementation_->options; }
const std::vector<std::unique_ptr<Callback>>& Trainer::callbacks() const {
  return implementation_->callbacks;
}
const std::vector<std::unique_ptr<Logger>>& Trainer::loggers() const {
  return implementation_->loggers;
}
Run& Trainer::run() { return implementation_->run; }
Profile Trainer::profile() const {
  return implementation_->profiler ? implementation_->profiler->profile() : Profile{};
}
const fs::path& Trainer::best_checkpoint() const { return implementation_->run.best_checkpoint(); }
const fs::path& Trainer::last_checkpoint() const { return implementation_->run.last_checkpoint(); }

}  // namespace levin
