#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/collectives/process_group.h>
#include <levin/framework/core/ranks.h>
#include <levin/framework/heartbeat/heartbeat.h>
#include <levin/framework/strategies/step_flags.h>

namespace levin {

/// Ranks that a process group joins. While a call waits for other ranks, the heartbeat knows of it,
/// so that this rank doesn't count as the one that hangs.
class GroupRanks final : public Ranks {
 public:
  /// `group` and `heartbeat` have to live longer.
  GroupRanks(ProcessGroup& group, Heartbeat& heartbeat) : group_(group), heartbeat_(heartbeat) {}

  int64_t rank() const override { return group_.rank(); }
  int64_t size() const override { return group_.world_size(); }
  /// Rank 0 leaves the value in the group's store, where the other ranks find it.
  std::string from_rank_zero(const std::string& key,
                             const std::function<std::string()>& make) override;
  bool any(bool raised) override;
  bool any_after_step(std::string_view key, bool raised) override {
    return flags_.agreed(key, raised);
  }
  std::vector<std::string> gather(const std::string& own) override;
  void barrier() override;

  /// What `any_after_step` asks; the strategy that owns this sends it with the gradients.
  StepFlags& flags() { return flags_; }

 private:
  ProcessGroup& group_;
  Heartbeat& heartbeat_;
  StepFlags flags_;
  std::map<std::string, int64_t> calls_;  // of from_rank_zero, for each key
};

}  // namespace levin
