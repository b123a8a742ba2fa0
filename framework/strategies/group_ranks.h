#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/collectives/process_group.h>
#include <levin/framework/core/ranks.h>
#include <levin/framework/heartbeat/heartbeat.h>
#include <levin/framework/strategies/step_flags.h>

namespace levin {

/// The ranks that a process group joins, for callbacks, loggers and checkpoints. A strategy of
/// several ranks owns one; Strategy::ranks returns it.
///
///     GroupRanks ranks(group, heartbeat);
///     if (ranks.any(lost_patience)) stop();          // on every rank
///
/// While a call waits for other ranks, the heartbeat knows of it, so that this rank doesn't count
/// as the one that hangs. Calls throw DistributedError if another rank is gone or too late.
class GroupRanks final : public Ranks {
 public:
  /// `group` and `heartbeat` must live longer.
  GroupRanks(ProcessGroup& group, Heartbeat& heartbeat) : group_(group), heartbeat_(heartbeat) {}

  /// The number of this rank and the number of ranks, as the process group has them.
  int64_t rank() const override { return group_.rank(); }
  int64_t size() const override { return group_.world_size(); }
  /// Rank 0 leaves the value in the group's store, where the other ranks find it; the last of them
  /// deletes it. Values should be small. What `make` throws passes through, on
  /// rank 0 only; the other ranks then wait until the failure of rank 0 is known.
  std::string from_rank_zero(const std::string& key,
                             const std::function<std::string()>& make) override;
  /// One small all_reduce, which waits for all ranks. For questions after each step,
  /// `any_after_step` costs much less.
  bool any(bool raised) override;
  /// Raises a flag, if `raised`, that the strategy sends with the next gradients, and waits for
  /// nobody. Returns whether the flags that the strategy has read since the last call have that
  /// flag from any rank.
  bool any_after_step(std::string_view key, bool raised) override {
    return flags_.agreed(key, raised);
  }
  /// Two collectives: the lengths of the texts, then the texts.
  std::vector<std::string> gather(const std::string& own) override;
  /// Returns when all ranks have called it: one collective of the process group.
  void barrier() override;

  bool train_alone() const override { return train_alone_ && size() > 1; }
  /// Sets what `train_alone` returns if there are several ranks; false by default.
  void set_train_alone(bool alone) { train_alone_ = alone; }

  /// Sends the flags of `any_after_step` by themselves: one small all_reduce after a step that sums
  /// no gradients, with which they would travel otherwise. Adds up `sums` over ranks by the same
  /// message, equally many numbers on each rank. A collective.
  void exchange_flags(std::span<double> sums = {});

  /// Notes that this rank goes on with its work, for steps that exchange nothing. Throws
  /// DistributedError if another rank has failed.
  void note_progress();

  /// Makes memory that all ranks share, if they are on one host: ProcessGroup::shared_memory. A
  /// collective.
  std::shared_ptr<std::byte> shared_memory(size_t bytes, double most);

  /// Adds up a tensor over ranks, in place: one all_reduce.
  void sum_tensor(const torch::Tensor& tensor);

  /// The flags of `any_after_step`. The strategy that owns this object sends them with the
  /// gradients, and clears them when a run begins.
  StepFlags& flags() { return flags_; }

 private:
  ProcessGroup& group_;
  Heartbeat& heartbeat_;
  StepFlags flags_;
  bool train_alone_ = false;
  /// The number of calls of from_rank_zero so far, for each key.
  std::map<std::string, int64_t> calls_;
};

}  // namespace levin
