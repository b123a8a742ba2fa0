#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>

#include <levin/framework/launch/cluster.h>

namespace levin {

/// Reads and checks the environment variables that one kind of launcher sets.
///
///     const ClusterVariables variables(lookup, Cluster::Kind::torchrun);
///     const int64_t world_size = variables.number("WORLD_SIZE", 1);
///     const int64_t rank = variables.below("RANK", "WORLD_SIZE", world_size);
///
/// The errors thrown name the variable, its value and the launcher, and end with how to set the
/// variable with that launcher. An empty variable counts as one that isn't set.
class ClusterVariables {
 public:
  /// The largest number accepted if the caller sets no limit of its own.
  static constexpr int64_t kLargest = std::numeric_limits<int32_t>::max();

  /// `lookup` must outlive this object.
  ClusterVariables(const EnvironmentLookup& lookup, Cluster::Kind kind)
      : lookup_(lookup), kind_(kind) {}

  /// The launcher whose variables these are.
  Cluster::Kind kind() const { return kind_; }
  /// Returns the variable's value, or "" if it isn't set.
  std::string text(const char* name) const;
  bool has(const char* name) const { return !text(name).empty(); }
  /// Returns the first of `names` that is set, or the last of `names` if none is. Launchers have
  /// renamed some variables over the years; list the preferred name first.
  const char* first_set(std::initializer_list<const char*> names) const;

  /// Returns the variable's value. Throws DistributedError if it isn't set. `why` completes the
  /// sentence "and ..." and says why it is needed in this case.
  std::string needed(const char* name, std::string_view why = {}) const;
  /// Returns the variable's value as a number. Throws DistributedError if it isn't set, isn't a
  /// whole number, or isn't between `least` and `most` (inclusive).
  int64_t number(const char* name, int64_t least, int64_t most = kLargest) const;
  /// Like `number`, but returns `otherwise` if the variable isn't set.
  int64_t number_or(const char* name, int64_t otherwise, int64_t least) const {
    return has(name) ? number(name, least) : otherwise;
  }
  /// Returns a number from 0 to `limit` - 1, such as a rank. Messages refer to the limit as
  /// `limit_name`, the variable that holds it (WORLD_SIZE for RANK).
  int64_t below(const char* name, const char* limit_name, int64_t limit) const;

  /// Throws the DistributedError for a variable that is set to an unusable value. `why` completes
  /// the sentence "the value ...", for example "must be at least 1".
  [[noreturn]] void refuse(const char* name, std::string_view why) const;

 private:
  /// How to set the variable with this launcher, or how to train without the launcher.
  std::string hint(const char* name) const;

  const EnvironmentLookup& lookup_;
  Cluster::Kind kind_;
};

/// The names of the four variables that tell a rank its place. `local_rank` and `local_world_size`
/// are nullptr if the launcher sets no such variables.
struct RankNames {
  const char* rank;
  const char* world_size;
  const char* local_rank;
  const char* local_world_size;
};

/// Returns a cluster whose ranks are read from the variables and checked. The number of hosts is
/// computed from the number of local ranks. Throws DistributedError as ClusterVariables does.
Cluster read_ranks(const ClusterVariables& variables, const RankNames& names);

/// The ports that Levin chooses by itself are from 15000 to 24999. Lightning uses this range for
/// SLURM; it lies below the ports that the system assigns by itself.
inline constexpr int64_t kFirstChosenPort = 15000;
inline constexpr int64_t kChosenPorts = 10000;

/// Returns one of these ports, which depends on `job` alone.
int64_t port_from(std::string_view job);

/// Sets the address and the port of rank 0 from MASTER_ADDR and MASTER_PORT. Throws
/// DistributedError as ClusterVariables does.
void read_master(const ClusterVariables& variables, Cluster& cluster);

}  // namespace levin
