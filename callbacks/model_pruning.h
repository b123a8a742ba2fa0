#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <levin/callbacks/pruning_choice.h>
#include <levin/callbacks/pruning_masks.h>
#include <levin/framework/core/options.h>
#include <levin/framework/run/callback.h>

namespace levin {

/// Options of ModelPruning. Lightning has the same under these names, except `every_n_epochs`,
/// `last_epoch` and `parameters`, for which it takes functions and modules.
struct ModelPruningOptions {
  /// What is pruned: "l1_unstructured", the smallest weights; "ln_structured", the slices along
  /// `pruning_dim` with the smallest norm of order `pruning_norm`; "random_unstructured" and
  /// "random_structured", weights or slices at random.
  std::string pruning_fn = "l1_unstructured";
  /// How much is pruned each time: a share (float) of the weights or slices that are left, or a
  /// number of them (int).
  CountOrFraction amount = 0.5;
  /// Prune those that are smallest in all layers together. If not, `amount` is pruned of each
  /// layer. Must be false for structured functions.
  bool use_global_unstructured = true;
  /// The dimension, from 0, whose slices structured functions prune: 0 for the outputs of a layer.
  std::optional<int64_t> pruning_dim{};
  /// The order of the norm by which ln_structured compares slices.
  std::optional<double> pruning_norm{};
  /// After each pruning, put what is left back to the values with which training began (a lottery
  /// ticket; Frankle and Carbin 2019, arXiv:1803.03635). Off by default, unlike in Lightning.
  bool use_lottery_ticket_hypothesis = false;
  /// The names of the parameters to prune, such as "hidden.weight". By default all that are named
  /// "weight" and have at least two dimensions.
  std::vector<std::string> parameters{};
  /// Prune at the end of every n-th epoch.
  int64_t every_n_epochs = 1;
  /// The last epoch, from 0, at whose end anything is pruned; later ones keep what there is.
  std::optional<int64_t> last_epoch{};
};

/// Describes the options for YAML files and `--help`.
Fields describe(ModelPruningOptions& options);
/// Throws ConfigError if an option is out of range or options exclude each other.
void validate(const ModelPruningOptions& options);

/// Sets the smallest weights of a model to 0, or whole slices of them, some more after each epoch,
/// and keeps them there while the others are trained on. Lightning: ModelPruning. Source: Zhu and
/// Gupta 2017, arXiv:1710.01878.
///
///     trainer.add<levin::ModelPruning>({.amount = 0.2, .last_epoch = 4});   // 67 % after 5 epochs
///
/// The share of weights that are 0 for good is logged as "sparsity" at the end of each epoch. The
/// weights themselves are set to 0: there are no masks to be removed when training has ended, and
/// checkpoints have the pruned weights and, for a resumed run, which they are. An optimizer step
/// costs one more pass over these parameters.
class ModelPruning : public Callback {
 public:
  using Options = ModelPruningOptions;
  /// Throws ConfigError for an option that is out of range.
  explicit ModelPruning(ModelPruningOptions options = {});

  /// The share of the weights that are pruned now, 0 to 1.
  double sparsity() const { return masks_.sparsity(); }

  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;

  /// Throws ConfigError if a parameter doesn't exist, if there is none to prune, or if the model is
  /// divided among ranks.
  void on_fit_start(Run& run) override;
  void on_train_batch_end(const torch::Tensor& loss, const Batch& batch, Step& step) override;
  void on_train_epoch_end(Run& run) override;

 private:
  void take_first_weights(const StateDict& loaded);

  ModelPruningOptions options_;
  PruningChoice choice_;
  PruningMasks masks_;
  std::vector<torch::Tensor> first_weights_;  // for lottery tickets; empty otherwise
  int64_t last_step_ = -1;                    // for which the masks were applied
  StateDict loaded_;
};

}  // namespace levin
