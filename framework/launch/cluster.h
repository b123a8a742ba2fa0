#pragma once

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace levin {

/// Returns the value of an environment variable, or nullptr if it isn't set. `::getenv` is one;
/// tests pass their own.
using EnvironmentLookup = std::function<const char*(const char* name)>;

/// The launcher that started this process as one of several ranks, and this process's place among
/// them.
///
/// | kind       | recognised by these variables                      | MASTER_ADDR, MASTER_PORT  |
/// |------------|----------------------------------------------------|---------------------------|
/// | launcher   | LEVIN_LAUNCHED=1 (launcher.h)                      | needed                    |
/// | torchrun   | TORCHELASTIC_RUN_ID, or                            | needed                    |
/// |            | RANK, WORLD_SIZE and LOCAL_RANK                    |                           |
/// | open_mpi   | OMPI_COMM_WORLD_RANK                               | optional on a single host |
/// | mpich      | PMI_RANK and MPI_LOCALRANKID (Hydra, Intel MPI)    | optional on a single host |
/// | slurm      | SLURM_PROCID in a step that srun started           | optional                  |
/// | kubernetes | WORLD_SIZE with RANK or MASTER_ADDR, no LOCAL_RANK | needed                    |
///
/// With SLURM, the first host of the step and a port made of the numbers of the job and the step
/// are used if the two variables aren't set.
///
/// The first row that matches is used. The rows are ordered so that a launcher that was started
/// inside another one (torchrun in a SLURM job, for example) is recognised before the outer one.
/// Sources: each launcher's documentation; Lightning: ClusterEnvironment.
struct Cluster {
  enum class Kind { launcher, torchrun, open_mpi, mpich, slurm, kubernetes };

  Kind kind = Kind::launcher;
  /// This process's number among all ranks, from 0 to world_size - 1.
  int64_t rank = 0;
  int64_t world_size = 1;
  /// This process's number among the ranks of its host, from 0 to local_world_size - 1. A rank on a
  /// host with several GPUs uses the GPU of this number.
  int64_t local_rank = 0;
  int64_t local_world_size = 1;
  /// This host's number, from 0 to num_nodes - 1. MPI launchers don't provide it. For them it is
  /// computed on the assumption that every host has the same number of ranks and that the ranks of
  /// a host have consecutive numbers.
  int64_t node_rank = 0;
  int64_t num_nodes = 1;
  /// The host name or IP address and the TCP port at which the other ranks connect to rank 0.
  std::string master_address;
  int64_t master_port = 0;
  /// True if Levin chose that port, because the launcher gave none. If it is taken, rank 0 tries
  /// the next ones, and the other ranks look for it there (listening_port.h).
  bool may_choose_port = false;
  /// True if the launcher itself already serves a TCPStore at that address. Every rank, rank 0
  /// included, is then a client of that store.
  bool launcher_serves_store = false;
  /// How many times the launcher has already restarted all ranks of this job.
  int64_t restart_count = 0;
  /// True if the launcher restarts all ranks when one of them fails.
  bool may_restart = false;
  /// An id that all ranks of a job share; other jobs on these hosts have another one, as far as the
  /// launcher makes that possible. Empty if it provides none that is the same on every host.
  std::string run_id;
  /// False if other jobs may have the same run_id: torchrun uses "none" for all jobs that were
  /// started without --rdzv-id, and see kSharedRunId.
  bool has_own_run_id() const { return run_id != "none" && !run_id.starts_with(kSharedRunId); }
  /// What LEVIN_RUN_ID begins with if launchers of several hosts had to make it of the address and
  /// the port, which the next job may have as well.
  static constexpr std::string_view kSharedRunId = "none:";
  /// The text of LEVIN_RUN_SECRET (run_secret.h); empty if there is none.
  std::string secret;
};

/// Returns the launcher's name as messages print it: "torchrun", "SLURM", "Open MPI" and so on.
std::string_view name_of(Cluster::Kind kind);

/// Returns what to do so that a process trains alone, as the end of a sentence: "to train alone in
/// this shell, unset SLURM_PROCID".
std::string how_to_train_alone(Cluster::Kind kind);

/// Reads this process's place in its cluster from environment variables, or returns nothing if the
/// process was started on its own.
///
/// A process in a plain shell counts as started on its own. So do the shells of sbatch and salloc,
/// in which only one process runs, and (as in Lightning) SLURM jobs named "bash" or "interactive".
///
/// Throws DistributedError if a variable is missing, malformed or contradicts another. The message
/// names the variable and its value and says what to do.
std::optional<Cluster> find_cluster(const EnvironmentLookup& lookup = ::getenv);

}  // namespace levin
