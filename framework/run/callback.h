#pragma once

#include <filesystem>
#include <string>

#include <levin/framework/core/type_name.h>
#include <levin/framework/run/hook_set.h>
#include <levin/framework/run/hooks.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

/// Observes a run through the hooks that it overrides, and makes requests of it through Run (stop,
/// save ...). All hooks are called on the thread that runs the Trainer, on every rank; Hooks says
/// when each of them fires. Lightning: Callback.
///
///     struct StopBelowOptions { double loss = 0.1; };
///     class StopBelow : public levin::Callback {
///      public:
///       using Options = StopBelowOptions;
///       explicit StopBelow(StopBelowOptions options) : options_(options) {}
///       void on_validation_end(levin::Run& run) override {
///         if (run.metrics().at("val_loss") < options_.loss) run.stop("val_loss is low enough");
///       }
///      private:
///       StopBelowOptions options_;
///     };
///     trainer.add<StopBelow>({.loss = 0.05});
///
/// A callback that has no settings needs no Options: `trainer.add<Printer>()`.
class Callback : public Hooks {
 public:
  /// When the callback's hooks are called: those of `normal` callbacks before the module's, those
  /// of `monitor` callbacks, which watch what was logged, after the module's, then those of
  /// `weights` callbacks, which put other weights into the module for a while, so that callbacks
  /// that watch a validation find the weights that were validated, and those of `checkpoint`
  /// callbacks, which save, last.
  enum class Order { normal, monitor, weights, checkpoint };
  virtual Order order() const { return Order::normal; }

  /// The hooks inside a step that shall be called, out of those that the class overrides. Override
  /// it to leave out those that the options make useless: they cost each step a call otherwise.
  /// Asked once, when the callback is added.
  virtual HookSet used_hooks(HookSet overridden) const { return overridden; }

  /// What no other callback of a fit may do as well, such as "averages the weights"; empty if there
  /// is no such thing. A fit with two callbacks of which both return the same throws ConfigError.
  virtual std::string sole_task() const { return {}; }

  /// The folder outside of the runs' folder to which the callback saves checkpoints; empty if there
  /// is none. A job whose ranks were restarted goes on only from a checkpoint in one of these
  /// folders or in the runs' folder.
  virtual std::filesystem::path checkpoint_folder() const { return {}; }

  /// The name of the callback's state in checkpoints; by default the name of its class without
  /// namespaces. Callbacks with the same key are told apart by the order in which they were added.
  /// Override it if several callbacks of the class may watch different things, so that a run that
  /// resumes with them in another order finds the right states. Lightning: Callback.state_key.
  virtual std::string state_key() const { return unqualified_name(typeid(*this)); }
  /// The state that checkpoints save and that a resumed run loads; empty by default.
  virtual StateDict state_dict() const { return {}; }
  virtual void load_state_dict(const StateDict& /*state*/) {}
};

}  // namespace levin
