#pragma once

#include <cstdint>

#include <levin/framework/loops/loop_parts.h>
#include <levin/framework/solvers/online_learner.h>

namespace levin {

class GroupRanks;

/// Trains on one batch if the optimizer is an OnlineLearner, which learns from the rows themselves:
/// the module's training_step and backward aren't called, nor are the hooks around gradients,
/// because there are none.
///
///     LearnerStep learning(parts, learner);
///     learning.run(batch, step, data.global_rows());
///     learning.complete();                              // before parameters are read
///
/// Ranks learn by themselves and average their weights in `complete`, and every `average_every`
/// batches. Ranks that share the learner's state (OnlineLearner::share) don't wait for each other:
/// they exchange flags in `complete`, and after some ten thousand rows of each.
class LearnerStep {
 public:
  /// Keeps the references. Throws ConfigError for gradient_clip_val, for a module that the learner
  /// can't train, and for ranks that have to share its state but can't. A collective.
  LearnerStep(LoopParts parts, OnlineLearner& learner);
  LearnerStep(const LearnerStep&) = delete;
  LearnerStep& operator=(const LearnerStep&) = delete;

  /// Learns from the rows of `batch`, this rank's part of a batch of `global_rows` rows over all
  /// ranks. Logs the mean loss of the rows, each before it was learned from, as "train_loss".
  void run(const Batch& batch, StepControl& step, int64_t global_rows);
  /// Makes the module's parameters those of all ranks. A collective, with several ranks.
  void complete();
  /// The loss of the last batch, which is undefined if that had no rows.
  const torch::Tensor& loss() const { return loss_; }

 private:
  void begin();
  void share();
  void exchange_flags(int64_t global_rows);
  GroupRanks* group_ranks() const;

  LoopParts parts_;
  OnlineLearner& learner_;
  torch::Tensor loss_;
  int64_t batches_alone_ = 0;  // since ranks have averaged
  int64_t rows_alone_ = 0;     // of all ranks, since they have exchanged flags
};

}  // namespace levin
