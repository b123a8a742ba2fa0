#pragma once

#include <chrono>
#include <string>

#include <c10/util/intrusive_ptr.h>

#include <levin/framework/launch/cluster.h>

namespace c10d {
class Store;
}

namespace levin {

/// One meeting of the ranks of a run.
struct Meeting {
  /// The store of this process, which all of its meetings share.
  c10::intrusive_ptr<c10d::Store> inside;
  /// What the keys of this meeting begin with there.
  std::string prefix;
};

/// Returns the next meeting of this rank with the others, at the store that this process keeps for
/// its whole life. Doesn't wait for the other ranks, but a rank other than 0 waits for the store.
/// Throws what open_meeting_store throws.
Meeting meet(const Cluster& cluster, std::chrono::milliseconds timeout);

}  // namespace levin
