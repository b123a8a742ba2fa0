#pragma once

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace levin {

/// Gives the value of an environment variable, nullptr where it isn't set.
using EnvironmentLookup = std::function<const char*(const char* name)>;

/// What started this process as one of several ranks, and what that says about them.
///
/// | kind       | recognised by                                    | rank 0 is found at         |
/// |------------|--------------------------------------------------|----------------------------|
/// | launcher   | LEVIN_LAUNCHED=1 (launcher.h)                    | MASTER_ADDR, MASTER_PORT   |
/// | torchrun   | TORCHELASTIC_RUN_ID; RANK and LOCAL_RANK         | the same                   |
/// | open_mpi   | OMPI_COMM_WORLD_RANK                             | the same; one host: itself |
/// | mpich      | PMI_RANK and MPI_LOCALRANKID (Hydra, Intel MPI)  | the same; one host: itself |
/// | slurm      | SLURM_PROCID in a step of srun's                 | the same; else first host  |
/// | kubernetes | RANK and WORLD_SIZE without LOCAL_RANK           | MASTER_ADDR, MASTER_PORT   |
///
/// The first that fits wins: whatever was started last sets the variables that are looked at first.
/// Sources: each launcher's own documentation; Lightning: ClusterEnvironment.
struct Cluster {
  enum class Kind { launcher, torchrun, open_mpi, mpich, slurm, kubernetes };

  Kind kind = Kind::launcher;
  int64_t rank = 0;
  int64_t world_size = 1;
  /// Among the ranks of this host.
  int64_t local_rank = 0;
  int64_t local_world_size = 1;
  /// The number of this host and of all of them. MPI doesn't say: there they are taken as if all
  /// hosts had the same number of ranks, one host's next to each other.
  int64_t node_rank = 0;
  int64_t num_nodes = 1;
  /// Where rank 0 is to be found by the others.
  std::string master_address;
  int64_t master_port = 0;
  /// Whether the launcher itself serves a TCPStore there: then no rank may, rank 0 neither.
  bool launcher_serves_store = false;
  /// How often all ranks were started again before.
  int64_t restart_count = 0;
  /// Whether the launcher starts all ranks again when one fails.
  bool may_restart = false;
  /// The same for all ranks of a job; "" where the launcher gives none that holds on all hosts.
  std::string run_id;
  /// Whether no other job has that: torchrun calls those without a name "none".
  bool has_own_run_id() const { return run_id != "none"; }
};

/// "torchrun", "SLURM", "Open MPI" ...: for messages.
std::string_view name_of(Cluster::Kind kind);

/// The cluster this process was started in, or nothing where it was started by itself: in a plain
/// shell, in one of sbatch's or salloc's, and (as in Lightning) in SLURM jobs named "bash" or
/// "interactive". Throws DistributedError where variables are malformed, missing or contradict each
/// other; it names the variable, its value and what to do.
std::optional<Cluster> find_cluster(const EnvironmentLookup& lookup = ::getenv);

}  // namespace levin
