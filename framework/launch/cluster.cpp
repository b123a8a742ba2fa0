#include <levin/framework/launch/cluster.h>

#include <unistd.h>

#include <cstdio>
#include <fstream>

#include <fmt/format.h>

#include <levin/framework/launch/cluster_variables.h>
#include <levin/framework/launch/slurm.h>

namespace levin {
namespace {

constexpr RankNames kTorchNames = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"};

void read_nodes(const ClusterVariables& variables, Cluster& cluster) {
  cluster.num_nodes = variables.number_or("GROUP_WORLD_SIZE", cluster.num_nodes, 1);
  if (variables.has("GROUP_RANK")) {
    cluster.node_rank = variables.below("GROUP_RANK", "GROUP_WORLD_SIZE", cluster.num_nodes);
  }
}

Cluster from_launcher(const EnvironmentLookup& lookup) {
  const ClusterVariables variables(lookup, Cluster::Kind::launcher);
  Cluster cluster = read_ranks(variables, kTorchNames);
  read_nodes(variables, cluster);
  read_master(variables, cluster);
  cluster.restart_count = variables.number_or("LEVIN_RESTART_COUNT", 0, 0);
  cluster.may_restart = variables.number_or("LEVIN_MAX_RESTARTS", 0, 0) > 0;
  cluster.run_id = variables.text("LEVIN_RUN_ID");
  return cluster;
}

Cluster from_torchrun(const EnvironmentLookup& lookup) {
  const ClusterVariables variables(lookup, Cluster::Kind::torchrun);
  Cluster cluster = read_ranks(variables, kTorchNames);
  read_nodes(variables, cluster);
  read_master(variables, cluster);
  cluster.launcher_serves_store = variables.text("TORCHELASTIC_USE_AGENT_STORE") == "True";
  cluster.restart_count = variables.number_or("TORCHELASTIC_RESTART_COUNT", 0, 0);
  // torchrun restarts the ranks whenever a host joins or leaves, even with --max-restarts=0.
  cluster.may_restart = true;
  cluster.run_id = variables.text("TORCHELASTIC_RUN_ID");
  return cluster;
}

/// Returns a text that names the process that started this rank, the same for all ranks of a job on
/// this host. MPI's launchers give each rank a process group of its own, so the starter is the
/// parent of the group's leader, even if the ranks are wrapped in shells.
std::string starter_of_ranks() {
  std::ifstream stat("/proc/" + std::to_string(::getpgid(0)) + "/stat");
  std::string line;
  std::getline(stat, line);
  const size_t name_end = line.rfind(')');  // the program's name may itself contain ')'
  char state = 0;
  long parent = 0;
  if (name_end == std::string::npos ||
      std::sscanf(line.c_str() + name_end + 1, " %c %ld", &state, &parent) != 2) {
    parent = ::getppid();
  }
  return fmt::format("parent {}", parent);
}

/// Sets the address and port of rank 0. `job` is an id that all ranks share, or "" if the launcher
/// provides none that is the same on every host.
void find_mpi_master(const ClusterVariables& variables, const std::string& job, Cluster& cluster) {
  const bool one_host = cluster.local_world_size == cluster.world_size;
  constexpr std::string_view kWhy = "the ranks run on several hosts";
  cluster.run_id = job.empty() && one_host ? starter_of_ranks() : job;
  cluster.master_address = one_host && !variables.has("MASTER_ADDR")
                               ? "127.0.0.1"
                               : variables.needed("MASTER_ADDR", kWhy);
  if (!variables.has("MASTER_PORT") && !cluster.run_id.empty()) {
    cluster.master_port = port_from(cluster.run_id);
    cluster.may_choose_port = true;
    return;
  }
  variables.needed("MASTER_PORT", kWhy);
  cluster.master_port = variables.number("MASTER_PORT", 1, 65535);
}

Cluster from_open_mpi(const EnvironmentLookup& lookup) {
  const ClusterVariables variables(lookup, Cluster::Kind::open_mpi);
  Cluster cluster =
      read_ranks(variables, {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
                             "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"});
  const char* job = variables.first_set({"PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid"});
  find_mpi_master(variables, variables.text(job), cluster);
  return cluster;
}

Cluster from_mpich(const EnvironmentLookup& lookup) {
  const ClusterVariables variables(lookup, Cluster::Kind::mpich);
  Cluster cluster =
      read_ranks(variables, {"PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"});
  find_mpi_master(variables, variables.text("PMI_JOBID"), cluster);
  return cluster;
}

Cluster from_kubernetes(const EnvironmentLookup& lookup) {
  const ClusterVariables variables(lookup, Cluster::Kind::kubernetes);
  Cluster cluster = read_ranks(variables, {"RANK", "WORLD_SIZE", nullptr, nullptr});
  cluster.node_rank = cluster.rank;
  cluster.num_nodes = cluster.world_size;
  read_master(variables, cluster);
  return cluster;
}

}  // namespace

std::string_view name_of(Cluster::Kind kind) {
  switch (kind) {
    case Cluster::Kind::launcher:
      return "Levin's launcher";
    case Cluster::Kind::torchrun:
      return "torchrun";
    case Cluster::Kind::open_mpi:
      return "Open MPI";
    case Cluster::Kind::mpich:
      return "MPICH";
    case Cluster::Kind::slurm:
      return "SLURM";
    case Cluster::Kind::kubernetes:
      break;
  }
  return "Kubernetes";
}

std::string how_to_train_alone(Cluster::Kind kind) {
  const char* variables = "WORLD_SIZE";
  switch (kind) {
    case Cluster::Kind::launcher:
      return "to train alone, set devices and num_nodes to 1";
    case Cluster::Kind::torchrun:
      variables = "RANK, WORLD_SIZE, LOCAL_RANK and TORCHELASTIC_RUN_ID";
      break;
    case Cluster::Kind::open_mpi:
      variables = "OMPI_COMM_WORLD_RANK";
      break;
    case Cluster::Kind::mpich:
      variables = "PMI_RANK";
      break;
    case Cluster::Kind::slurm:
      variables = "SLURM_PROCID";
      break;
    case Cluster::Kind::kubernetes:
      break;
  }
  return fmt::format("to train alone in this shell, unset {}", variables);
}

namespace {

std::optional<Cluster> read_launcher(const EnvironmentLookup& lookup) {
  const auto has = [&](const char* name) {
    const char* value = lookup(name);
    return value != nullptr && *value != '\0';
  };
  const char* launched = lookup("LEVIN_LAUNCHED");
  if (launched != nullptr && std::string_view(launched) == "1") return from_launcher(lookup);
  const bool torch_style = has("RANK") && has("WORLD_SIZE");
  if (has("TORCHELASTIC_RUN_ID") || (torch_style && has("LOCAL_RANK"))) {
    return from_torchrun(lookup);
  }
  if (has("OMPI_COMM_WORLD_RANK")) return from_open_mpi(lookup);
  if (has("PMI_RANK") && has("MPI_LOCALRANKID")) return from_mpich(lookup);
  if (auto slurm = find_slurm(lookup)) return slurm;
  if (torch_style || (has("WORLD_SIZE") && has("MASTER_ADDR"))) return from_kubernetes(lookup);
  return std::nullopt;
}

}  // namespace

std::optional<Cluster> find_cluster(const EnvironmentLookup& lookup) {
  auto cluster = read_launcher(lookup);
  const char* secret = lookup("LEVIN_RUN_SECRET");
  if (cluster && secret != nullptr) cluster->secret = secret;
  return cluster;
}

}  // namespace levin
