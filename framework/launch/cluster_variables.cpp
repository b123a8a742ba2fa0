#include <levin/framework/launch/cluster_variables.h>

#include <fmt/format.h>

#include <levin/framework/core/error.h>
#include <levin/framework/core/number_in.h>
#include <levin/framework/core/stable_hash.h>

namespace levin {

std::string ClusterVariables::text(const char* name) const {
  const char* value = lookup_(name);
  return value == nullptr ? std::string() : std::string(value);
}

const char* ClusterVariables::first_set(std::initializer_list<const char*> names) const {
  for (const char* name : names) {
    if (has(name)) return name;
  }
  return *(names.end() - 1);
}

std::string ClusterVariables::needed(const char* name, std::string_view why) const {
  auto value = text(name);
  if (!value.empty()) return value;
  throw DistributedError(
      fmt::format("{} isn't set, but other environment variables say that {} started this "
                  "process{}{}; {}",
                  name, name_of(kind_), why.empty() ? "" : ", and ", why, hint(name)));
}

int64_t ClusterVariables::number(const char* name, int64_t least, int64_t most) const {
  const auto digits = needed(name);
  const auto value = number_in<int64_t>(digits);
  if (!value) refuse(name, "must be a whole number");
  if (*value < least || *value > most) {
    refuse(name, most == kLargest ? fmt::format("must be at least {}", least)
                                  : fmt::format("must be from {} to {}", least, most));
  }
  return *value;
}

int64_t ClusterVariables::below(const char* name, const char* limit_name, int64_t limit) const {
  const int64_t value = number(name, 0);
  if (value >= limit) refuse(name, fmt::format("must be less than {} = {}", limit_name, limit));
  return value;
}

void ClusterVariables::refuse(const char* name, std::string_view why) const {
  throw DistributedError(fmt::format("{} = {} (in a process that {} started): the value {}; {}",
                                     name, text(name), name_of(kind_), why, hint(name)));
}

std::string ClusterVariables::hint(const char* name) const {
  const char* value = std::string_view(name) == "MASTER_ADDR" ? "HOST_OF_RANK_0" : "VALUE";
  switch (kind_) {
    case Cluster::Kind::launcher:
      return "unset LEVIN_LAUNCHED to run without Levin's launcher";
    case Cluster::Kind::torchrun:
      return fmt::format("start with `torchrun --no-python PROGRAM`, or unset {} to train alone",
                         has("TORCHELASTIC_RUN_ID") ? "TORCHELASTIC_RUN_ID" : "RANK");
    case Cluster::Kind::open_mpi:
      return fmt::format("give it as in `mpirun -x {}={} PROGRAM`", name, value);
    case Cluster::Kind::mpich:
      return fmt::format("give it as in `mpiexec -genv {} {} PROGRAM`", name, value);
    case Cluster::Kind::slurm:
      return fmt::format("start with `srun PROGRAM`, or export {} before it", name);
    case Cluster::Kind::kubernetes:
      break;
  }
  return fmt::format("set {} in the pod as a PyTorchJob does, or unset WORLD_SIZE to train alone",
                     name);
}

Cluster read_ranks(const ClusterVariables& variables, const RankNames& names) {
  Cluster cluster;
  cluster.kind = variables.kind();
  cluster.world_size = variables.number(names.world_size, 1);
  cluster.rank = variables.below(names.rank, names.world_size, cluster.world_size);
  if (names.local_rank == nullptr) return cluster;
  const int64_t local = variables.number(names.local_world_size, 1);
  if (local > cluster.world_size) {
    variables.refuse(names.local_world_size,
                     fmt::format("must be at most {} = {}", names.world_size, cluster.world_size));
  }
  cluster.local_world_size = local;
  cluster.local_rank = variables.below(names.local_rank, names.local_world_size, local);
  cluster.node_rank = cluster.rank / local;
  cluster.num_nodes = (cluster.world_size + local - 1) / local;
  return cluster;
}

int64_t port_from(std::string_view job) {
  return kFirstChosenPort + static_cast<int64_t>(stable_hash(job) % uint64_t{kChosenPorts});
}

void read_master(const ClusterVariables& variables, Cluster& cluster) {
  cluster.master_address = variables.needed("MASTER_ADDR");
  cluster.master_port = variables.number("MASTER_PORT", 1, 65535);
}

}  // namespace levin
