#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/launch/cluster.h>

namespace levin {

/// Expands SLURM's abbreviated list of hosts: `node[01-03,7],gpu5` becomes node01, node02, node03,
/// node7, gpu5.
///
/// `variable` is the environment variable that holds `list`; messages name it. Throws
/// DistributedError if the list is malformed or empty, or names more than 100,000 hosts. Source:
/// `scontrol show hostnames`.
std::vector<std::string> expand_host_list(std::string_view variable, std::string_view list);

/// Expands SLURM's abbreviated list of one number for each host: `2(x3),1` becomes 2, 2, 2, 1.
/// Takes the same arguments as expand_host_list and throws for the same reasons.
std::vector<int64_t> expand_counts(std::string_view variable, std::string_view list);

/// Returns the cluster of a process that srun started, or nothing for any other process. The shells
/// of sbatch and salloc count as other processes. Throws as find_cluster does.
std::optional<Cluster> find_slurm(const EnvironmentLookup& lookup);

}  // namespace levin
