#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <levin/framework/core/ranks.h>
#include <levin/framework/kernels/cpu/online.h>
#include <levin/framework/optimizers/optimizer.h>
#include <levin/framework/solvers/linear_loss.h>
#include <levin/framework/solvers/online_batch.h>

namespace levin {

class HogwildMemory;

/// An optimizer that learns from rows instead of gradients, while they pass by: one by one, or a
/// few at a time. It is for linear models with one output (`Module::linear_loss`): the logistic
/// loss of two classes, and the squared loss.
///
///     levin::Optimizers configure_optimizers() override {
///       return levin::OnlineAdagrad(parameters(), {.learning_rate = 0.05});
///     }
///
/// What a step costs depends on the entries of its rows, however many features there are. Penalties
/// change every weight in every step, but a weight is only changed when its feature occurs again,
/// for all steps that it has missed. The parameters are therefore out of date until
/// `complete_parameters` writes them, which the Trainer does before they are read; then they equal
/// what updates of all weights in every step would have given. Hooks within an epoch see the
/// parameters of the last time.
///
/// Several ranks learn by themselves, each from its share of the rows, and average what they have
/// learned (`average`) whenever the parameters are read, at least at the end of each epoch, and
/// after every `average_every` batches if that is set.
///
/// Learning begins at the weights that the parameters have. If something else changes them in
/// between, such as a callback that loads weights, it begins anew with those, and forgets the sums
/// of squares. Dense rows of up to OnlineBatch::kMostDenseFeatures features are read as sparse ones
/// that have all entries. Rows are read as float32.
///
/// With `hogwild`, the run's threads (TrainerOptions::threads) share the rows of each batch and
/// learn from them without waiting for each other (hogwild_parts.h). Ranks of one host, instead of
/// learning by themselves, learn into one state in memory that they share (`share`). What is
/// learned then differs a little from run to run. If the run is `deterministic`, one thread learns
/// from all rows of a rank, and ranks average, as without `hogwild`.
///
/// Without a Trainer: `begin`, then `learn` for each batch.
class OnlineLearner : public Optimizer {
 public:
  /// Says what is to be learned; to be called before `learn`. Throws ConfigError if the loss isn't
  /// one of those above, its parameters aren't those of this optimizer or not on the CPU, or the
  /// penalties are given twice or can't be used by the method or with `hogwild`.
  void begin(const LinearLoss& loss);
  /// Learns from the rows of a batch, which has a "target" and may have a "weight", and returns the
  /// mean of the rows' losses, each times its row's weight and by the weights before the row's step
  /// ("progressive" loss). Penalties aren't part of it. Throws DataError for rows of another number
  /// of features, dense rows of too many, and targets that don't fit; ConfigError if the learning
  /// rate of FTRL was changed.
  ///
  /// Ranks that share a state call it equally often, also for a batch without rows, which returns
  /// 0. It is then a collective if the state was read, or is to begin anew, since the last call.
  double learn(const Batch& batch);
  /// Writes the weights to the parameters.
  void complete_parameters() override;

  /// Makes all ranks, which have learned from rows of their own, go on with the same state: the
  /// mean of their weights or, with Adagrad, the mean in which each feature's weight counts by its
  /// sum of squares, as that says how much a rank has learned of it (Agarwal et al., "A Reliable
  /// Effective Terascale Linear Learning System", 2014). Sums of squares become their mean. With
  /// FTRL, z and n become their means. Sends up to 24 bytes for each feature. A collective.
  ///
  /// Ranks that share a state wait for each other instead, and nobody learns until all of them call
  /// `learn` again.
  void average(Ranks& ranks);
  /// After how many batches ranks average; 0: only when the parameters are read.
  int64_t average_every() const { return average_every_; }

  /// Whether several ranks have to share a state: with `hogwild`, unless LibTorch's algorithms are
  /// deterministic.
  bool needs_sharing() const;
  /// The bytes of a state in memory; valid after `begin`.
  size_t shared_bytes() const;
  /// Makes all ranks learn into one state. `memory` has `shared_bytes` bytes, which all ranks share
  /// and which are 0 at first. To be called on every rank, after `begin`; `ranks` must live as long
  /// as this object learns.
  void share(std::shared_ptr<std::byte> memory, Ranks& ranks);

  /// Always throws ModuleError: it can't learn from gradients.
  torch::Tensor step(const Closure& closure = {}) override;
  StateDict state_dict() const override;
  void load_state_dict(const StateDict& state) override;
  /// How many steps were made.
  int64_t steps() const { return steps_; }

 protected:
  /// `settings` has all of the method's settings, with penalties in the kernels' terms.
  OnlineLearner(std::vector<torch::Tensor> parameters, kernels::OnlineSettings settings,
                int64_t rows_a_step, int64_t average_every, bool hogwild);
  OnlineLearner(OnlineLearner&&) noexcept = default;

 private:
  template <class Number>
  double learn_as();
  template <class Number>
  kernels::OnlineState<Number> state_of() const;
  template <class Number>
  void keep(const kernels::OnlineState<Number>& state);
  template <class Number>
  void start();
  template <class Number>
  void write_weights();
  template <class Number>
  void finish(const kernels::OnlineSettings& settings);
  template <class Number>
  void average_as(Ranks& ranks);

  const torch::Tensor& weight() const { return groups_[0].parameters[weight_at_]; }
  torch::Tensor bias() const;
  bool is_double() const { return weight().scalar_type() == at::kDouble; }
  void start_from_parameters();
  void adopt_settings();
  void meet();
  void fill_shared();
  void rest();
  void refresh();
  int64_t versions() const;

  kernels::OnlineSettings own_;       // as given by the options
  kernels::OnlineSettings settings_;  // with what the loss says
  int64_t rows_a_step_;
  int64_t average_every_;
  bool hogwild_;
  bool has_begun_ = false;
  size_t weight_at_ = 0;
  std::optional<size_t> bias_at_;

  // The state. Of the columns: see kernels::OnlineState.
  torch::Tensor columns_;  // [features, kOnlineNumbers], or undefined
  kernels::OnlineSettings columns_settings_;
  double bias_ = 0.0;
  double bias_squares_ = 0.0;
  double bias_z_ = 0.0;
  double shrunk_ = 0.0;
  int64_t steps_ = 0;
  bool is_behind_ = false;  // the parameters are
  int64_t versions_ = -1;   // of the parameters when they were last written or read

  std::shared_ptr<HogwildMemory> shared_;  // null: the state is this rank's own
  Ranks* ranks_ = nullptr;                 // those that share it
  bool rests_ = false;                     // none of them learns

  OnlineBatch batch_;
};

}  // namespace levin
