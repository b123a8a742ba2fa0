#pragma once

#include <chrono>
#include <string>

#include <c10/util/intrusive_ptr.h>

#include <levin/framework/launch/cluster.h>

namespace c10d {
class Store;
}

namespace levin {

/// Returns the store at which the ranks of `cluster` meet: rank 0 serves it, unless the launcher
/// does, and the others connect to it.
///
/// If all ranks are on one host, no other host can reach the store; otherwise it is open to
/// whoever reaches the port, and SealedStore protects its values. A single rank gets a store in its
/// own memory. While a rank can't reach rank 0, it says so on stderr after a few seconds, with how
/// to train alone. Throws DistributedError if the port can't be had, and std::runtime_error if rank
/// 0 isn't reached within `timeout`.
c10::intrusive_ptr<c10d::Store> open_meeting_store(const Cluster& cluster,
                                                   std::chrono::milliseconds timeout);

/// Lets no further rank take this store for that of its run. To be called when all ranks have
/// connected: the next program of the same job, whose first ranks may start while this one ends,
/// then waits for a store of its own.
void close_meeting_store(const Cluster& cluster, c10d::Store& store);

/// Returns when all ranks have called it with the same sealed store, which has no earlier values.
/// After a few seconds, the first of the ranks that are there says on stderr for which ones it
/// waits, and how to train alone. Leaves two keys in the store, which `forget_all_ranks` deletes.
/// Throws DistributedError at once, on this rank and on the other one, if a rank has another
/// secret, and std::runtime_error if a rank is missing after `timeout`.
void wait_for_all_ranks(const Cluster& cluster, c10d::Store& store,
                        std::chrono::milliseconds timeout);
/// Deletes those keys. To be called on every rank, when no rank is in wait_for_all_ranks any more.
void forget_all_ranks(const Cluster& cluster, c10d::Store& store);

}  // namespace levin
