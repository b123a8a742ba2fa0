#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace levin {

/// What a rank of a pipeline does with one micro-batch in one of its stages.
struct PipelineAction {
  enum class Kind { forward, backward };

  Kind kind = Kind::forward;
  int64_t stage = 0;
  int64_t micro_batch = 0;

  friend bool operator==(const PipelineAction&, const PipelineAction&) = default;
};

/// Returns the action as PyTorch writes it, "2F0" or "2B0": the stage, F or B, the micro-batch.
std::string to_string(const PipelineAction& action);

/// The sizes of a pipeline. A model is cut into `ranks * chunks` stages, of which stage s belongs
/// to rank s % ranks, and a batch into `micro_batches` parts.
struct PipelineSizes {
  int64_t ranks = 1;
  /// Stages of each rank. More than 1 only in the schedule "interleaved1f1b".
  int64_t chunks = 1;
  int64_t micro_batches = 1;
};

/// What a schedule costs if a forward pass through a stage takes one time and a backward pass
/// another, and messages take none.
struct PipelineCost {
  /// From the first action's beginning to the last one's end, in units of the given times.
  double time = 0.0;
  /// The share of `time` in which a rank waits, as a mean over ranks, from 0 to 1.
  double bubble = 0.0;
  /// The largest number of micro-batches that each rank holds the activations of at one moment,
  /// counted for each of its stages.
  std::vector<int64_t> held{};
  /// The number of tensors that each rank sends to another one.
  std::vector<int64_t> messages{};
};

/// In which order each rank of a pipeline makes its forward and backward passes.
///
///     PipelineSchedule schedule("1f1b", {.ranks = 4, .micro_batches = 8});
///     for (const auto& action : schedule.actions(rank)) ...
///
/// | schedule          | order                                                   | holds |
/// |-------------------|---------------------------------------------------------|-------|
/// | `gpipe`           | all forward passes, then all backward passes            | m     |
/// | `1f1b`            | forward and backward in turn as soon as that is possible | <= p |
/// | `interleaved1f1b` | the same with v stages on each rank                     | more  |
///
/// With p ranks and m micro-batches, the ranks of the first two wait for (p - 1) / (m + p - 1) of
/// the time; those of the third for (p - 1) / (v m) of the time of the work, and they send v times
/// as many messages. The orders are those of torch.distributed.pipelining. Sources: GPipe,
/// https://arxiv.org/abs/1811.06965; 1F1B and its interleaved form,
/// https://arxiv.org/abs/2104.04473.
class PipelineSchedule {
 public:
  /// Throws ConfigError for an unknown name, for sizes below 1, for chunks in a schedule that has
  /// none, and if `interleaved1f1b` can't make rounds of equally many micro-batches: with p ranks
  /// there are max(1, m / p) rounds, of which m has to be a multiple.
  PipelineSchedule(const std::string& name, PipelineSizes sizes);

  /// The names of all schedules.
  static std::vector<std::string> names();

  const std::string& name() const { return name_; }
  const PipelineSizes& sizes() const { return sizes_; }
  int64_t stages() const { return sizes_.ranks * sizes_.chunks; }
  /// The rank that has a stage.
  int64_t rank_of(int64_t stage) const { return stage % sizes_.ranks; }

  /// What a rank does, in order. It waits before an action until what the action needs is there:
  /// the outputs of the stage before, or the gradient from the stage after.
  const std::vector<PipelineAction>& actions(int64_t rank) const {
    return actions_[static_cast<size_t>(rank)];
  }
  /// The actions of all ranks, a line for each: "rank 0: 0F0 0F1 0B0 0B1".
  std::string table() const;
  /// Carries the schedule out with the given times of one action. Throws ModuleError if ranks wait
  /// for each other forever, which none of the schedules does.
  PipelineCost cost(double forward_time = 1.0, double backward_time = 1.0) const;

 private:
  std::string name_;
  PipelineSizes sizes_;
  std::vector<std::vector<PipelineAction>> actions_;
};

}  // namespace levin
