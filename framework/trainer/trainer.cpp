#include <levin/framework/trainer/trainer.h>

#include <algorithm>
#include <optional>
#include <string>

#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <levin/framework/checkpoint/checkpoint.h>
#include <levin/framework/core/diagnostics.h>
#include <levin/framework/core/error.h>
#include <levin/framework/core/home.h>
#include <levin/framework/launch/cluster.h>
#include <levin/framework/loops/evaluation_loop.h>
#include <levin/framework/strategies/this_rank.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/trainer/checkpoint_checks.h>
#include <levin/framework/trainer/checkpoint_path.h>
#include <levin/framework/trainer/failure.h>
#include <levin/framework/trainer/global_switches.h>
#include <levin/framework/trainer/replaced_callbacks.h>
#include <levin/framework/trainer/stage_loaders.h>
#include <levin/framework/trainer/step_checks.h>
#include <levin/framework/trainer/trainer_implementation.h>
#include <levin/framework/trainer/warnings.h>

namespace levin {
namespace {

namespace fs = std::filesystem;

/// A collective if ranks share a model.
Place place_of(Strategy& strategy) {
  Place place{.device = strategy.device(), .local_rank = strategy.local_rank()};
  if (const Cluster* cluster = strategy.cluster()) {
    place.node_rank = cluster->node_rank;
    place.num_nodes = cluster->num_nodes;
    place.num_devices = cluster->local_world_size;
  }
  place.mesh = strategy.mesh();
  const RankShare share = strategy.rank_share();
  if (share.world_size == strategy.ranks().size()) return place;
  // Ranks that share a model have the same part of each global batch.
  const auto own = std::to_string(share.rank);
  const auto all = strategy.ranks().gather(own);
  const auto self = all.begin() + strategy.ranks().rank();
  place.model_size = std::count(all.begin(), all.end(), own);
  place.model_rank = std::count(all.begin(), self, own);
  return place;
}

}  // namespace

LoopParts Trainer::Implementation::parts(Module& module, DataModule& data) {
  return {module,  data, *strategy_,     *hooks_,  callback_list_,   loggers.used(),
          options, run,  profiler.get(), threads_, default_threads_, precision};
}

/// Sets the run's number of threads, as far as it is known now. Without a number in the options,
/// fit chooses one, which later stages use; a stage without a fit before it goes by its first
/// batch.
void Trainer::Implementation::set_threads(Stage stage) {
  if (const int fixed = fixed_threads(options.threads); fixed > 0) {
    return threads_->set({.threads = fixed});
  }
  if (stage == Stage::fit) return;
  if (chosen_threads_.threads > 0) {
    threads_->set(chosen_threads_);
  } else if (wants_default_threads(options.threads) && strategy_->device().is_cpu()) {
    default_threads_->begin();
  }
}

/// Prepares a stage, and returns the checkpoint that it begins with, if any.
std::optional<StartingPoint> Trainer::Implementation::begin(Module& module, DataModule& data,
                                                            Stage stage,
                                                            const std::string& ckpt_path) {
  fit_loop_.reset();
  optimizers_ = {};
  require_step(module, stage);
  if (!strategy_) {
    strategy_ = is_trial_of_this_rank(hook_entries) ? make_strategy_of_this_rank(options)
                                                    : make_strategy(options);
  }
  set_threads(stage);
  module_callbacks = is_trial(hook_entries) ? ModuleCallbacks() : module.configure_callbacks();
  auto entries = with_module_callbacks(hook_entries, module_callbacks, strategy_->ranks());
  if (options.fast_dev_run.count > 0) {  // nothing is saved, so callbacks that save aren't called
    std::erase_if(entries, [](const HookList::Entry& entry) {
      return entry.first->order() == Callback::Order::checkpoint;
    });
  }
  hooks_.emplace(entries, module, profiler.get());
  callback_list_.clear();
  for (const auto& entry : entries) callback_list_.push_back(entry.first);
  if (stage == Stage::fit) require_sole_tasks(callback_list_);
  loggers.select(options.fast_dev_run.count == 0 && strategy_->ranks().is_zero());
  run.set_module(&module);
  run.set_optimizers(&optimizers_);
  run.set_ranks(strategy_->ranks());
  run.set_place(place_of(*strategy_));
  run.set_loggers(stage == Stage::predict ? nullptr : &loggers.used());
  run.set_dataloaders(nullptr);
  run.requests() = {};
  run.progress() = Progress{.stage = stage, .epoch = run.epoch(), .global_step = run.global_step()};
  std::function<fs::path()> folder;  // empty: nothing may be written
  if (options.fast_dev_run.count == 0) folder = [this] { return run.log_dir(); };
  strategy_->set_profiler(profiler.get());
  if (profiler) profiler->joined(strategy_->ranks(), &run.progress().global_step, folder);
  const auto path = stage == Stage::fit ? restarts_.begin_fit(*strategy_, ckpt_path,
                                                              checkpoint_folders(callback_list_))
                                        : ckpt_path;
  auto start = read_starting_point(path, run, profiler.get());
  precision.convert(module);
  set_up_data(*strategy_, module, data, stage, precision, start, options.prepare_data_per_node);
  hooks_->call(&Hooks::setup, stage, run);
  return start;
}

void Trainer::Implementation::end(DataModule& data, Stage stage) {
  strategy_->ranks().barrier();  // then every rank finds what rank 0 has written
  data.teardown(stage);
  hooks_->call(&Hooks::teardown, stage, run);
  strategy_->teardown(run.module());
}

/// Runs a stage, `work`, with the process's switches and threads set for it. If `work` throws, this
/// clears up and throws again: DistributedError with the message of another rank if that rank's
/// failure is the cause, otherwise the same exception with its place in the run.
template <class Work>
auto Trainer::Implementation::guarded(DataModule& data, Stage stage, Work work) {
  const GlobalSwitches switches(options);
  const NoWriteSignals signals;
  ThreadScope threads;
  DefaultThreads default_threads(threads);
  threads_ = &threads;
  default_threads_ = &default_threads;
  if (profiler) profiler->begin_run(stage);
  hooks_.reset();  // they refer to the last run's module, which may be gone
  loggers.select(false);
  try {
    auto result = work();
    end(data, stage);
    finish_loggers();
    if (profiler) profiler->end_run(/*failed=*/false);
    return result;
  } catch (std::exception& error) {
    add_place(error, run);
    const std::string cause = strategy_ ? strategy_->fail(error) : std::string();
    if (cause.empty()) {
      clear_up(error, data);
      throw;
    }
    try {
      throw DistributedError(fmt::format("rank {}: {}", run.ranks().rank(), cause));
    } catch (const DistributedError& named) {  // so that hooks and loggers learn of the cause, too
      clear_up(named, data);
      throw;
    }
  }
}

void Trainer::Implementation::clear_up(const std::exception& error, DataModule& data) {
  clear_up_after(error, hooks_ ? &*hooks_ : nullptr, fit_loop_.get(), loggers, data, run);
  if (profiler) profiler->end_run(/*failed=*/true);
}

void Trainer::Implementation::start_loggers(Module& module, DataModule& data) {
  const ProfilePart profiled(profiler.get(), Part::loggers);
  Value settings = Value::Object{{"model", module.hyper_parameters()},
                                 {"data", data.hyper_parameters()},
                                 {"seed", static_cast<int64_t>(global_seed())},
                                 {"trainer", to_value(describe(options))}};
  if (run.stage() == Stage::fit && !tuned_.empty()) settings["tuned"] = to_value(tuned_);
  loggers.start(run, settings);
  if (run.stage() == Stage::fit) loggers.log_graph(parts(module, data));
}

void Trainer::Implementation::finish_loggers() {
  const ProfilePart profiled(profiler.get(), Part::loggers);
  loggers.finish();
}

History Trainer::Implementation::fit(Module& module, DataModule& data,
                                     const std::string& ckpt_path) {
  return guarded(data, Stage::fit, [&] {
    prepare_fit(module, data, begin(module, data, Stage::fit, ckpt_path));
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
    if (const auto start = begin(module, data, stage, ckpt_path)) {
      load_weights(module, *start, *hooks_, precision, run);
    }
    warn_if_untrained(run, module);
    strategy_->setup(module);
    auto loaders = evaluation_loaders(module, data, stage);
    show_loaders(run, stage, loaders);
    EvaluationLoop loop(parts(module, data), std::move(loaders), option, limit);
    start_loggers(module, data);
    const c10::InferenceMode inference(options.inference_mode);
    const at::NoGradGuard no_grad;
    return loop.run(stage);
  });
}

NamedTensors Trainer::Implementation::predict(Module& module, DataModule& data,
                                              const std::string& ckpt_path,
                                              PredictLoop::Take take) {
  return guarded(data, Stage::predict, [&] {
    if (const auto start = begin(module, data, Stage::predict, ckpt_path)) {
      load_weights(module, *start, *hooks_, precision, run);
    }
    warn_if_untrained(run, module);
    strategy_->setup(module);
    auto loaders = predict_loaders(data);
    show_loaders(run, Stage::predict, loaders);
    PredictLoop loop(parts(module, data), std::move(loaders), std::move(take));
    return loop.run();
  });
}

void Trainer::Implementation::save_checkpoint(const fs::path& path) {
  if (!fit_loop_) {
    throw ConfigError::conflict("save_checkpoint without a fit just before",
                                "it writes the state that fit ended with: call it before "
                                "validate, test or predict");
  }
  const NoWriteSignals signals;
  fit_loop_->save_checkpoint(expand_home(path.string(), "path"));
}

void Trainer::Implementation::print(std::string_view text) const {
  if (strategy_) return run.print(text);
  const auto cluster = find_cluster();
  if (!cluster || cluster->rank == 0) diagnostics::print_line(stdout, text);
}

/// Keeps a data module of the loaders, and first forgets what refers to the one kept before.
DataModule& Trainer::Implementation::keep(StageLoaders loaders) {
  fit_loop_.reset();
  own_data_ = std::make_unique<LoadersDataModule>(std::move(loaders));
  return *own_data_;
}

Trainer::Trainer(TrainerOptions options)
    : implementation_(std::make_unique<Implementation>(std::move(options))) {}
Trainer::Trainer(Trainer&&) noexcept = default;
Trainer::~Trainer() = default;

Callback& Trainer::add(std::unique_ptr<Callback> callback, HookSet used) {
  implementation_->hook_entries.emplace_back(callback.get(), callback->used_hooks(used));
  return *implementation_->callbacks.emplace_back(std::move(callback));
}

Logger& Trainer::add_logger(std::unique_ptr<Logger> logger) {
  return implementation_->loggers.add(std::move(logger));
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

void Trainer::predict(Module& module, DataModule& data,
                      const std::function<void(const NamedTensors&)>& take,
                      const std::string& ckpt_path) {
  implementation_->predict(module, data, ckpt_path, take);
}

DataModule& Trainer::keep(StageLoaders loaders) {
  return implementation_->keep(std::move(loaders));
}
void Trainer::save_checkpoint(const fs::path& path) { implementation_->save_checkpoint(path); }
const TrainerOptions& Trainer::options() const { return implementation_->options; }
const std::vector<std::unique_ptr<Callback>>& Trainer::callbacks() const {
  return implementation_->callbacks;
}
const std::vector<std::unique_ptr<Logger>>& Trainer::loggers() const {
  return implementation_->loggers.all();
}
Run& Trainer::run() { return implementation_->run; }
const Precision& Trainer::precision() const { return implementation_->precision; }
void Trainer::print(std::string_view text) const { implementation_->print(text); }
DefaultTypeScope Trainer::init_module() const {
  return DefaultTypeScope(implementation_->precision.module_type());
}
Profile Trainer::profile() const {
  return implementation_->profiler ? implementation_->profiler->profile() : Profile{};
}
const fs::path& Trainer::best_checkpoint() const { return implementation_->run.best_checkpoint(); }
const fs::path& Trainer::last_checkpoint() const { return implementation_->run.last_checkpoint(); }

}  // namespace levin
