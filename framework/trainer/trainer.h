#pragma once

#include <concepts>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <levin/framework/core/options.h>
#include <levin/framework/data/datamodule.h>
#include <levin/framework/data/loaders_datamodule.h>
#include <levin/framework/logged/history.h>
#include <levin/framework/loggers/logger.h>
#include <levin/framework/precision/default_type.h>
#include <levin/framework/precision/precision.h>
#include <levin/framework/profiling/profiler.h>
#include <levin/framework/run/callback.h>
#include <levin/framework/run/hook_set.h>
#include <levin/framework/run/module.h>
#include <levin/framework/run/trainer_options.h>

namespace levin {

/// Runs a Module on a DataModule: trains, validates, tests and predicts. Lightning: Trainer.
///
///     Trainer trainer({.accelerator = "cpu", .max_epochs = 10});
///     trainer.add<ModelCheckpoint>({.monitor = "val_loss"});
///     trainer.add_logger<CsvLogger>();
///     History history = trainer.fit(model, data);
///     MetricMap metrics = trainer.test(model, data, "best");
///     NamedTensors outputs = trainer.predict(model, data);
///
/// A Trainer has only the callbacks and loggers that are added to it; add_defaults in
/// <levin/callbacks/defaults.h> adds those that Lightning has by default. If `devices` asks for
/// several processes, the program is started once for each, and all of them make the same calls.
///
/// All stages throw ConfigError for options that don't fit, DataError for data that can't be used,
/// ModuleError if the module or a callback breaks its contract, CheckpointError for a checkpoint
/// that can't be read or doesn't fit, and DistributedError if another rank has failed. LibTorch's
/// own errors (c10::Error) pass through as one line, with the place in the run added and the C++
/// stack left out unless the environment has TORCH_SHOW_CPP_STACKTRACES=1. Module, data module and
/// whatever they refer to must outlive the call.
class Trainer {
 public:
  /// Throws ConfigError for an option that is invalid or excludes another, before any device is
  /// touched.
  explicit Trainer(TrainerOptions options = {});
  Trainer(Trainer&&) noexcept;
  ~Trainer();

  /// Makes a callback of class C from its options, adds it and returns it. It lives as long as the
  /// Trainer. Hooks are called in the order in which callbacks were added: see Hooks.
  template <class C>
  requires MadeFromOptions<C> C& add(typename C::Options options = {}) {
    return static_cast<C&>(add(std::make_unique<C>(std::move(options)), overridden_hooks<C>()));
  }
  /// The same for a callback that isn't made from Options: makes it from `arguments`, usually none.
  template <class C, class... Arguments>
  requires(!MadeFromOptions<C> &&
           std::constructible_from<C, Arguments...>) C& add(Arguments&&... arguments) {
    return static_cast<C&>(
        add(std::make_unique<C>(std::forward<Arguments>(arguments)...), overridden_hooks<C>()));
  }
  /// Adds a callback that was made elsewhere. `used` may name the hooks inside a step that it
  /// overrides; the others are then not called, which saves time in every step.
  Callback& add(std::unique_ptr<Callback> callback, HookSet used = HookSet::all());

  /// Makes a logger of class L from its options, adds it and returns it. It lives as long as the
  /// Trainer.
  template <class L>
  requires MadeFromOptions<L> L& add_logger(typename L::Options options = {}) {
    return static_cast<L&>(add_logger(std::make_unique<L>(std::move(options))));
  }
  /// The same for a logger that isn't made from Options: makes it from `arguments`, usually none.
  template <class L, class... Arguments>
  requires(!MadeFromOptions<L> &&
           std::constructible_from<L, Arguments...>) L& add_logger(Arguments&&... arguments) {
    return static_cast<L&>(add_logger(std::make_unique<L>(std::forward<Arguments>(arguments)...)));
  }
  /// Adds a logger that was made elsewhere.
  Logger& add_logger(std::unique_ptr<Logger> logger);

  /// Measures every run from the next one on with `profiler`, which replaces the one that the
  /// options name. With null nothing is measured.
  void set_profiler(std::unique_ptr<Profiler> profiler);
  /// Makes fit call `factory` instead of Module::configure_optimizers. The YAML keys `optimizer`
  /// and `lr_scheduler` use this.
  void set_optimizers(std::function<Optimizers(Module&)> factory);

  /// Trains until a limit, a callback or a signal ends it, and returns the metrics of each epoch.
  ///
  /// `ckpt_path` is the checkpoint from which to resume: a file or folder, "last" or "best".
  /// Training then ends with the same bits as if it had never stopped, and uses the run folder of
  /// that checkpoint. A checkpoint with weights only can't be resumed from; CheckpointError says
  /// so.
  History fit(Module& module, DataModule& data, const std::string& ckpt_path = {});
  /// Makes one pass over the validation data and returns its metrics, in which every row has the
  /// same weight. If `ckpt_path` is given, the weights of that checkpoint are put into the module
  /// first.
  MetricMap validate(Module& module, DataModule& data, const std::string& ckpt_path = {});
  /// Does the same with the test data.
  MetricMap test(Module& module, DataModule& data, const std::string& ckpt_path = {});
  /// Returns what Module::predict_step (by default Module::predict) returns for the prediction
  /// data: each tensor [rows, ...] on the CPU, with its rows in the order of the data. `ckpt_path`
  /// means the same as in `validate`.
  NamedTensors predict(Module& module, DataModule& data, const std::string& ckpt_path = {});
  /// The same for any number of rows in little memory: predictions aren't kept, but given to `take`
  /// batch by batch, in the order of the data. With several ranks, it is called on rank 0 alone.
  /// Lightning: `return_predictions=False` with a BasePredictionWriter.
  ///
  ///     trainer.predict(model, data, [&](const levin::NamedTensors& rows) { write(rows); });
  void predict(Module& module, DataModule& data,
               const std::function<void(const NamedTensors&)>& take,
               const std::string& ckpt_path = {});

  /// The same with loaders instead of a data module, which the Trainer keeps until it gets others.
  /// Lightning: fit(model, train_dataloaders, val_dataloaders), validate(model, dataloaders) ...
  ///
  ///     levin::DataLoader train(rows, {.batch_size = 32, .shuffle = true}), val(others, {});
  ///     trainer.fit(model, train, val);
  ///     trainer.fit(model, train, {first, second}, "last");  // two loaders; goes on
  History fit(Module& module, DataLoaders train, DataLoaders val = {},
              const std::string& ckpt_path = {});
  MetricMap validate(Module& module, DataLoaders loaders, const std::string& ckpt_path = {});
  MetricMap test(Module& module, DataLoaders loaders, const std::string& ckpt_path = {});
  NamedTensors predict(Module& module, DataLoaders loaders, const std::string& ckpt_path = {});
  void predict(Module& module, DataLoaders loaders,
               const std::function<void(const NamedTensors&)>& take,
               const std::string& ckpt_path = {});

  /// Writes a checkpoint of the state in which the last `fit` ended. The module and the data module
  /// of that fit must still exist, and every rank has to call this. Throws ConfigError if the last
  /// call wasn't `fit`.
  void save_checkpoint(const std::filesystem::path& path);

  /// The options, with fast_dev_run and overfit_batches worked into the others.
  const TrainerOptions& options() const;
  /// What was added to this Trainer; callbacks that a module brings aren't among them.
  const std::vector<std::unique_ptr<Callback>>& callbacks() const;
  const std::vector<std::unique_ptr<Logger>>& loggers() const;
  /// Metrics, progress and folder of the run in progress or, after it, of the last one.
  Run& run();
  /// The formats of numbers that the option `precision` asks for.
  const Precision& precision() const;

  /// Makes new tensors of the type that modules have with this precision, for as long as the result
  /// exists: parameters then needn't be converted, and with "64-true" they are drawn as float64.
  /// Lightning: init_module.
  ///
  ///     const auto scope = trainer.init_module();
  ///     Net net;
  DefaultTypeScope init_module() const;
  /// Makes a module of class M in that type, from its options or from `arguments`.
  ///
  ///     auto model = trainer.make_module<MLP>({.hidden_sizes = {64}});
  ///     trainer.fit(*model, data);
  template <class M>
  requires MadeFromOptions<M> std::shared_ptr<M> make_module(typename M::Options options = {})
  const {
    const auto scope = init_module();
    return std::make_shared<M>(std::move(options));
  }
  template <class M, class... Arguments>
  requires(!MadeFromOptions<M> && std::constructible_from<M, Arguments...>)
      std::shared_ptr<M> make_module(Arguments&&... arguments)
  const {
    const auto scope = init_module();
    return std::make_shared<M>(std::forward<Arguments>(arguments)...);
  }
  /// Prints the text and a newline to stdout, on rank 0 alone. A process that no launcher has given
  /// a rank is rank 0. Lightning: Trainer.print.
  void print(std::string_view text) const;
  /// Where the time of the run in progress went or, after it, that of the last one; empty without a
  /// profiler.
  Profile profile() const;
  /// The checkpoints that "best" and "last" stand for; empty if none was saved.
  const std::filesystem::path& best_checkpoint() const;
  const std::filesystem::path& last_checkpoint() const;

 private:
  DataModule& keep(StageLoaders loaders);
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace levin
