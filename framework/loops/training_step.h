#pragma once

#include <memory>
#include <optional>
#include <vector>

#include <levin/framework/loops/learner_step.h>
#include <levin/framework/loops/loop_parts.h>
#include <levin/framework/loops/manual_step.h>
#include <levin/framework/loops/step_clipping.h>
#include <levin/framework/precision/gradient_scaler.h>

namespace levin {

class LateGradients;
class LocalSteps;

/// Trains on one batch: forward, backward and, at the end of a window of batches, the optimizer. A
/// window is the batches whose gradients make one optimizer step (accumulate_grad_batches).
/// Lightning: _AutomaticOptimization.
///
///     TrainingStep training_step(parts, optimizers);
///     bool stepped = training_step.run(batch, step, data.global_rows(), /*window_ends=*/true);
///
/// A step costs what a hand-written loop costs plus some virtual calls; this class allocates no
/// memory for it.
///
/// With precision = 16-mixed, losses are scaled before `backward` and gradients divided by the
/// scale at the end of a window, before hooks and clipping see them. If they aren't finite, the
/// step is left out: neither on_before_optimizer_step is called nor does the optimizer change
/// anything.
///
/// If the optimizer is an OnlineLearner, LearnerStep does the work.
///
/// If ranks take steps by themselves (LocalSteps), a step is one by the mean over this rank's rows.
/// It counts on every rank, also on one that has no rows in it, which then changes nothing.
///
/// If ranks go on without late ones (LateGradients), a rank that was late takes the steps that it
/// has missed without calling training_step for their batches, as if it had no rows.
///
/// If the module optimizes by hand, ManualStep does the work, and each batch is a window.
class TrainingStep {
 public:
  /// `optimizers` must outlive this object. It may be empty; gradients are computed all the same.
  /// `schedules` is told of the steps of a module that optimizes by hand, if it isn't null.
  /// Throws ModuleError if there is more than one optimizer and the module doesn't optimize by
  /// hand, ConfigError for an optimizer that can't train with the run's precision, and what
  /// `check_accumulation` throws for accumulate_grad_batches. For an OnlineLearner, throws what
  /// LearnerStep throws. If ranks take steps by themselves or go on without late ones, throws
  /// ConfigError for an optimizer that doesn't step by gradients of batches or evaluates its
  /// closure again, and for SyncBatchNorm layers.
  TrainingStep(LoopParts parts, Optimizers& optimizers, Schedules* schedules = nullptr);

  /// Checks whether a window may have `batches` batches. Throws ConfigError if that is more than
  /// one and the optimizer evaluates its closure again (LBFGS), because it would then train on the
  /// last batch only.
  void check_accumulation(int64_t batches) const;

  /// Trains on `batch`, which is this rank's part of a batch that has `global_rows` rows over all
  /// ranks and is on the device already. If `window_ends`, the gradients of the window are summed
  /// over ranks and clipped, and the optimizer steps.
  ///
  /// Returns whether a step was counted, the same on every rank. It is false within a window, and
  /// if training_step skipped all batches of the window on all ranks, and if the gradients aren't
  /// finite with precision = 16-mixed. With several ranks the call
  /// at the end of a window is a collective. Throws ModuleError if training_step returns no scalar,
  /// or one without a graph.
  bool run(const Batch& batch, StepControl& step, int64_t global_rows, bool window_ends);
  /// The loss that training_step returned last, a scalar without its graph; undefined if it skipped
  /// the batch. It stays on the device.
  const torch::Tensor& loss() const { return loss_; }
  /// Whether the module optimizes by hand. The run's global_step and the schedules then have
  /// counted the steps already when `run` returns.
  bool is_manual() const { return manual_ != nullptr; }
  /// The optimizer steps of the last call of `run` that returned true.
  int64_t steps() const { return manual_ != nullptr ? manual_->steps() : 1; }
  /// This rank's gradients that wait for a later batch at a step boundary: see
  /// ManualStep::left_gradients.
  StateDict left_gradients() const {
    return manual_ != nullptr ? manual_->left_gradients() : StateDict{};
  }
  void load_left_gradients(const StateDict& gradients) {
    if (manual_ != nullptr) manual_->load_left_gradients(gradients);
  }
  /// The norm of the gradients before they were clipped last, [] on the device; undefined if they
  /// aren't clipped by it. The object stays the same.
  const torch::Tensor& gradient_norm() const { return clipping_.norm(); }
  /// Sets it, after a recorded step was repeated.
  void set_gradient_norm(const torch::Tensor& norm) { clipping_.set_norm(norm); }
  /// How many batches the current window has so far; 0 at a step boundary.
  int64_t window_batches() const { return window_batches_; }
  /// Whether `run` reads rows where they lie in the data set: see Module::reads_rows_in_place.
  bool reads_rows_in_place() const;
  /// Brings the parameters up to date, before they are read: Optimizer::complete_parameters. Ranks
  /// that have learned by themselves average what they have learned, which is a collective, unless
  /// the others are gone (`alone`). If ranks take steps by themselves, the module has their mean
  /// until `own_parameters`.
  void complete_parameters(bool alone = false);
  /// Gives the module this rank's own parameters, from which the next step goes on. To be called
  /// before the hooks of a batch.
  void own_parameters();
  /// Logs in how many steps ranks were late since the last call, if the ranks have a deadline:
  /// "late_steps" of all of them and, if there are at most kRanksLogged, "late_steps_rank_0" and so
  /// on. The same on all ranks.
  void log_late_steps();
  static constexpr size_t kRanksLogged = 32;
  /// Sets whether steps are recorded for a graph. The host then doesn't look whether gradients are
  /// finite: the optimizer does on the device, and `run` always counts a step. Off by default.
  void set_recorded(bool recorded) { is_recorded_ = recorded; }
  /// How many of the last `steps` recorded steps were left out. Waits for the device, unless
  /// gradients aren't scaled.
  int64_t take_skipped(int64_t steps) { return scaler_ ? scaler_->take_counted(steps) : 0; }
  /// How many steps were left out so far because gradients weren't finite.
  int64_t skipped_steps() const { return scaler_ ? scaler_->skipped_steps() : 0; }
  /// What scales the gradients; null if they aren't scaled.
  GradientScaler* scaler() { return scaler_ ? &*scaler_ : nullptr; }
  /// Forgets a window that was left unfinished because Step::skip_epoch ended its epoch early.
  void drop_window() { window_batches_ = 0; }

 private:
  void check_ranks(Optimizers& optimizers, const std::string& option) const;
  bool is_behind() const;
  bool is_local() const;
  void begin_by_hand(Optimizers& optimizers, Schedules* schedules);
  bool run_otherwise(const Batch& batch, StepControl& step, int64_t global_rows);
  void check_precision() const;
  void begin_window();
  torch::Tensor closure();
  torch::Tensor forward();
  double weight_of_batch();
  void backward(const torch::Tensor& loss);
  bool window_counts() const { return !all_rows_ || *all_rows_ > 0.0; }
  bool complete_gradients();
  bool unscale_gradients();

  LoopParts parts_;
  LocalSteps* local_steps_ = nullptr;      // null: gradients are summed in every step
  LateGradients* late_ = nullptr;          // null: ranks wait for all gradients
  Optimizer* optimizer_ = nullptr;         // null: the module has none
  std::unique_ptr<LearnerStep> learning_;  // null: the optimizer is no OnlineLearner
  std::unique_ptr<ManualStep> manual_;     // null: the module doesn't optimize by hand
  bool is_automatic_ = true;               // neither of the two is there
  std::vector<torch::Tensor> parameters_;  // the optimizer's, of all groups
  StepClipping clipping_;                  // of their gradients
  Closure closure_;                        // made once: calls closure()

  const Batch* batch_ = nullptr;
  StepControl* step_ = nullptr;
  torch::Tensor loss_;
  bool window_ends_ = true;
  bool evaluated_ = false;  // the closure ran for this batch
  int64_t window_batches_ = 0;
  bool gradients_begun_ = false;
  /// Rows of the window's first batch over all ranks; or, in one process, what that batch counts.
  double full_rows_ = 0.0;
  double window_rows_ = 0.0;              // rows of this rank that have gradients in the window
  std::optional<double> all_rows_ = 0.0;  // those of all ranks, as Strategy::backward returns them
  torch::Tensor window_loss_;
  std::optional<GradientScaler> scaler_;
  bool is_recorded_ = false;
  bool is_skipped_ = false;  // the last step, because its gradients weren't finite
};

}  // namespace levin
