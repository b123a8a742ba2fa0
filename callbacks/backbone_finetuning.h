#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <levin/callbacks/finetuning.h>
#include <levin/framework/core/options.h>

namespace levin {

/// Options of BackboneFinetuning. Names, meanings and defaults are Lightning's, except `backbone`
/// and `multiplier`, which Lightning calls lambda_func.
struct BackboneFinetuningOptions {
  /// The name of the part that is frozen at first, as in the names of its parameters: "backbone"
  /// for backbone.conv.weight.
  std::string backbone = "backbone";
  /// The epoch, from 0, from which on it is trained, too.
  int64_t unfreeze_backbone_at_epoch = 10;
  /// What the backbone's learning rate is multiplied by in each further epoch.
  double multiplier = 2.0;
  /// The backbone's learning rate in its first epoch, as a share of that of the other parameters.
  double backbone_initial_ratio_lr = 0.1;
  /// The same as a learning rate; it counts instead of the share.
  std::optional<double> backbone_initial_lr{};
  /// Never let the backbone's learning rate become larger than that of the other parameters.
  bool should_align = true;
  /// Train the backbone's batch norms all the time.
  bool train_bn = true;
};

/// Describes the options for YAML files and `--help`.
Fields describe(BackboneFinetuningOptions& options);
/// Throws ConfigError for an empty name, a negative epoch, or a factor that isn't positive.
void validate(const BackboneFinetuningOptions& options);

/// Trains a model whose backbone was trained before: only the rest at first, and the backbone from
/// some epoch on, with a learning rate that grows to that of the rest. Lightning:
/// BackboneFinetuning.
///
///     trainer.add<levin::BackboneFinetuning>({.backbone = "resnet"});
///
/// For the backbone to have a learning rate of its own, configure_optimizers has to give it a
/// parameter group; otherwise it takes that of its group, and a warning says so. Schedulers don't
/// count for the backbone's rate.
class BackboneFinetuning : public BaseFinetuning {
 public:
  using Options = BackboneFinetuningOptions;
  /// Throws ConfigError for an empty name, a negative epoch, or a factor that isn't positive.
  explicit BackboneFinetuning(BackboneFinetuningOptions options = {});

  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;

  void on_fit_start(Run& run) override;
  void on_train_batch_start(const Batch& batch, Step& step) override;

 protected:
  void freeze_before_training(Module& module) override;
  void finetune(Module& module, int64_t epoch, Run& run) override;

 private:
  /// A parameter group of an optimizer.
  struct Group {
    Optimizer* optimizer;
    size_t number;
  };
  torch::nn::Module& backbone_of(Module& module) const;
  void find_groups(Run& run);
  void set_rate();

  BackboneFinetuningOptions options_;
  std::vector<Group> backbone_groups_;
  std::optional<Group> other_;  // the first group of other parameters
  double rate_ = 0.0;           // the backbone's; 0 while it is frozen
  bool rate_resumed_ = false;
};

}  // namespace levin
