#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <levin/framework/launch/cluster.h>

namespace levin {

/// The hosts of SLURM's short form: `node[01-03,7],gpu5` is node01, node02, node03, node7, gpu5.
/// `variable` is where `list` comes from, for messages. Throws DistributedError where it is
/// malformed, empty, or names more than 100,000 hosts. Source: `scontrol show hostnames`.
std::vector<std::string> expand_host_list(std::string_view variable, std::string_view list);

/// The numbers of SLURM's short form, one a node: `2(x3),1` is 2, 2, 2, 1. Throws DistributedError
/// as above.
std::vector<int64_t> expand_counts(std::string_view variable, std::string_view list);

/// The cluster of a process that srun started; nothing elsewhere, in the shells of sbatch and
/// salloc neither. See find_cluster.
std::optional<Cluster> find_slurm(const EnvironmentLookup& lookup);

}  // namespace levin
