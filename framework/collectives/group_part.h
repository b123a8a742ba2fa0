#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include <c10/util/intrusive_ptr.h>

#include <levin/framework/launch/cluster.h>

namespace c10d {
class ProcessGroup;
}

namespace levin {

/// The numbers from 0 to `size` - 1.
std::vector<int64_t> all_ranks(int64_t size);

/// Returns `whole` as if the ranks that are listed were all there are, in this order: `rank` and
/// `world_size` are those of the part. `rank` is -1 if this rank isn't listed. Throws ConfigError
/// if `ranks` is empty, names a rank twice or one that `whole` doesn't have.
Cluster part_of(Cluster whole, const std::vector<int64_t>& ranks);

/// Ends the waits of one of c10d's groups and of the groups that were made from it. All calls may
/// come from any thread.
class GroupAborts {
 public:
  GroupAborts();
  ~GroupAborts();
  GroupAborts(const GroupAborts&) = delete;
  GroupAborts& operator=(const GroupAborts&) = delete;

  /// Whether `abort` has been called.
  bool aborted() const { return aborted_; }
  /// Ends the waits of the group and of all groups that were made from it, directly or not.
  void abort() noexcept;
  /// Says which group `abort` ends the waits of. Ends them at once if `abort` has been called.
  void set(c10::intrusive_ptr<c10d::ProcessGroup> group);
  /// Returns the GroupAborts of a group that is made from this one.
  std::shared_ptr<GroupAborts> make_another();

 private:
  std::atomic<bool> aborted_{false};
  std::mutex mutex_;
  c10::intrusive_ptr<c10d::ProcessGroup> group_;
  std::vector<std::weak_ptr<GroupAborts>> made_from_it_;
};

}  // namespace levin
