#pragma once

#include <cstdint>

#include <levin/framework/launch/cluster.h>
#include <levin/framework/launch/descriptor.h>

namespace levin {

/// The number of ports that rank 0 tries if the launcher gave none: Cluster::master_port and those
/// after it. The other ranks look for rank 0 at the same ones.
inline constexpr int64_t kPortsToTry = 16;

/// Returns the number of the `i`-th port at which the ranks of `cluster` may meet, counted from 0.
/// Ports that Levin chooses lie from 15000 to 24999, below those that the system assigns by itself.
int64_t meeting_port(const Cluster& cluster, int64_t i);
/// Returns how many such ports there are: 1 if the launcher or the user gave it.
int64_t meeting_ports(const Cluster& cluster);

/// Returns whether the ranks reach each other without leaving their host.
bool is_local(const Cluster& cluster);

/// A socket at which rank 0 listens, and its port.
struct ListeningPort {
  Descriptor socket;
  int64_t number = 0;
};

/// Opens the socket at which the ranks of `cluster` meet, on rank 0. If all ranks are on one host,
/// only that host can connect; otherwise the socket listens on all network interfaces. A port that
/// is taken is passed over if the launcher gave none. Throws DistributedError, which says what to
/// set, if no port can be had.
ListeningPort open_meeting_port(const Cluster& cluster);

}  // namespace levin
