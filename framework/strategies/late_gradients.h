#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <levin/framework/collectives/deadline_sum.h>
#include <levin/framework/deadline/gradient_deadline.h>
#include <levin/framework/heartbeat/heartbeat.h>
#include <levin/framework/profiling/communication_log.h>
#include <levin/framework/strategies/group_ranks.h>
#include <levin/framework/tensor/state_dict.h>

namespace levin {

class Module;

/// Sums gradients over ranks without waiting for ranks that are late. A strategy owns it
/// (Strategy::late_gradients).
///
///     LateGradients late(ranks, heartbeat, *gradient_deadline("drop"));
///     late.begin(group, module, names, parameters, {});        // on every rank
///     for (...) {
///       late.begin_window(batch_rows_of_all_ranks);
///       auto loss = late.is_behind() ? torch::Tensor() : forward();
///       const auto sums = late.sum(loss, riders, [&] { loss.backward(); });
///       optimizer.step();                                      // if `sums` has rows
///     }
///
/// A rank is late in a step if its gradients aren't complete `seconds` after those of the first
/// rank. The step is then taken without them: the sum is one over the other ranks, whose rows
/// travel with it, so the mean is one over the rows that were in time. All ranks take all steps
/// with the same sums, so their weights stay the same. A rank that was late takes the steps that it
/// has missed without computing gradients for them.
///
/// Late gradients are dropped or, if the deadline folds, sent with the next ones that the rank
/// sends, or in place of those if they are late, too; their rows count there.
///
/// Gradients are summed in float32, or in float64 if a parameter has that type, after backward. All
/// calls come from the thread that trains.
class LateGradients {
 public:
  /// `ranks` and `heartbeat` must live longer.
  LateGradients(GroupRanks& ranks, Heartbeat& heartbeat, GradientDeadline deadline);
  ~LateGradients();

  /// Begins a new training of `parameters`, the parameters of `module` that are trained, with these
  /// names. `log`, if not null, records the sums; the caller of `sum` begins and finishes its
  /// steps. `sends_buffers`: whether `meet` gives all ranks rank 0's buffers. `module` and `group`
  /// must live until `end`. A collective. Throws ModuleError for complex parameters.
  void begin(ProcessGroup& group, const Module& module, std::vector<std::string> names,
             std::vector<torch::Tensor> parameters, std::shared_ptr<CommunicationLog> log,
             bool sends_buffers);
  /// Ends the training. `state_dict` stays as it is until the next `begin`.
  void end();

  /// A window of batches begins, whose first batch has `full_rows` rows over all ranks.
  void begin_window(double full_rows);
  /// Whether the step of the present window was taken without this rank, so that gradients would
  /// come too late.
  bool is_behind() const { return sum_ != nullptr && sum_->is_behind(); }
  /// Calls `backward` if `loss` is defined, and makes the gradients sums over the ranks that are in
  /// time. Returns the sums of the riders (GradientReducer); the rows among them are those of the
  /// gradients in the sum. A collective. Throws ModuleError, which names the parameter, if
  /// `backward` left a parameter without a gradient.
  torch::Tensor sum(const torch::Tensor& loss, const torch::Tensor& riders,
                    const std::function<void()>& backward);
  /// To be called by all ranks after the same step, before the module is evaluated or saved: gives
  /// all ranks rank 0's buffers. A rank isn't late until it begins its next window. A collective.
  void meet();

  /// Returns in how many steps each rank was late since the last call; empty for one rank. The same
  /// on all ranks.
  std::vector<int64_t> take_late_steps();
  /// Returns texts about ranks that are late nearly always, each once in a training.
  std::vector<std::string> take_warnings();
  /// The bytes that this rank has sent since `begin`.
  int64_t sent_bytes() const { return sum_ != nullptr ? sum_->bytes() : 0; }

  /// This rank's late gradients that wait to be sent; usually nothing.
  StateDict state_dict() const;
  /// Goes on from the states of the ranks that wrote a checkpoint. If they were more or fewer, rank
  /// 0 takes over what they haven't sent. To be called after `begin`. Throws CheckpointError for a
  /// state that doesn't fit.
  void load_state_dict(const std::vector<StateDict>& ranks);

 private:
  /// Late gradients of some rows, each row's divided by `full_rows`.
  struct Pending {
    torch::Tensor gradients;
    double rows = 0.0;
    double full_rows = 1.0;
  };

  void require_gradients(bool has_loss) const;
  void write_gradients(const torch::Tensor& flat) const;
  void read_gradients(const torch::Tensor& flat) const;
  void add_pending(const torch::Tensor& body, double full_rows) const;
  void keep(Pending late);
  void count(const std::vector<bool>& in_time);

  GroupRanks& ranks_;
  Heartbeat& heartbeat_;
  const GradientDeadline deadline_;
  const Module* module_ = nullptr;
  ProcessGroup* all_ = nullptr;
  std::vector<std::string> names_;
  std::vector<torch::Tensor> parameters_;
  std::shared_ptr<CommunicationLog> log_;
  bool sends_buffers_ = false;
  bool has_stepped_ = false;  // since the ranks met
  double full_rows_ = 1.0;    // of the present window
  Pending pending_;
  int64_t trainings_ = 0;

  std::vector<std::string> hosts_;       // of the ranks
  std::vector<int64_t> late_steps_;      // of each rank, since take_late_steps
  std::vector<uint64_t> recently_late_;  // of each rank, a bit for each of the last steps
  std::vector<bool> is_named_;           // whether there was a warning of the rank
  int64_t steps_ = 0;
  std::vector<std::string> warnings_;

  std::unique_ptr<ProcessGroup> group_;  // of the sums alone
  std::unique_ptr<DeadlineSum> sum_;     // null: there is nothing to sum
};

}  // namespace levin
