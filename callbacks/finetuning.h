#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <levin/framework/run/callback.h>

namespace torch::nn {
class Module;
}

namespace levin {

/// The base class of callbacks that train parts of a module only from some epoch on. Derive from it
/// and say which. Lightning: BaseFinetuning.
///
///     class HeadFirst : public levin::BaseFinetuning {
///       void freeze_before_training(levin::Module& module) override {
///         freeze(*static_cast<Net&>(module).body);
///       }
///       void finetune(levin::Module& module, int64_t epoch, levin::Run&) override {
///         if (epoch == 5) unfreeze(*static_cast<Net&>(module).body);
///       }
///     };
///
/// Parameters that are frozen get no gradients, and the optimizer, which has all of them, leaves
/// them alone. What is frozen is kept in checkpoints. With several ranks, the Trainer needs
/// find_unused_parameters.
class BaseFinetuning : public Callback {
 public:
  /// Makes the parameters of `part` need no gradients. Batch norms stay trainable with `train_bn`;
  /// otherwise they also keep their statistics.
  static void freeze(torch::nn::Module& part, bool train_bn = true);
  /// Undoes `freeze`.
  static void unfreeze(torch::nn::Module& part);

  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;

  void on_fit_start(Run& run) override;
  void on_train_epoch_start(Run& run) override;

 protected:
  /// Called when a fit begins that doesn't resume.
  virtual void freeze_before_training(Module& module) = 0;
  /// Called at the beginning of each epoch, counted from 0.
  virtual void finetune(Module& module, int64_t epoch, Run& run) = 0;

 private:
  const Module* module_ = nullptr;  // of the fit
  std::vector<std::string> frozen_;
  bool resumed_ = false;
};

}  // namespace levin
