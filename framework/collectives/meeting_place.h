#pragma once

#include <chrono>
#include <string>

#include <c10/util/intrusive_ptr.h>

#include <levin/framework/launch/cluster.h>

namespace c10d {
class Store;
}

namespace levin {

/// Returns the address at which ranks of other hosts reach this one, that is, the address of the
/// network through which this host reaches rank 0; 127.0.0.1 if there is only one host. Throws
/// DistributedError if rank 0's host can't be found.
std::string own_address(const Cluster& cluster);

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
