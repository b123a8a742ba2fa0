#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>

#include <levin/framework/launch/cluster.h>

namespace levin {

/// The environment variables of one kind of launcher, and what to say where they are wrong.
class ClusterVariables {
 public:
  static constexpr int64_t kLargest = std::numeric_limits<int32_t>::max();

  ClusterVariables(const EnvironmentLookup& lookup, Cluster::Kind kind)
      : lookup_(lookup), kind_(kind) {}

  Cluster::Kind kind() const { return kind_; }
  /// "" where it isn't set.
  std::string text(const char* name) const;
  bool has(const char* name) const { return !text(name).empty(); }
  /// The first of `names` that is set, or the last of them.
  const char* first_set(std::initializer_list<const char*> names) const;

  /// Throws DistributedError where it isn't set; `why` it is needed, where that isn't plain.
  std::string needed(const char* name, std::string_view why = {}) const;
  /// Throws DistributedError where it isn't a whole number from `least` to `most`.
  int64_t number(const char* name, int64_t least, int64_t most = kLargest) const;
  int64_t number_or(const char* name, int64_t otherwise, int64_t least) const {
    return has(name) ? number(name, least) : otherwise;
  }
  /// A number from 0 to `limit` - 1; `limit_name` is the variable that sets the limit.
  int64_t below(const char* name, const char* limit_name, int64_t limit) const;

  /// Throws the DistributedError of a variable that is set, but wrong.
  [[noreturn]] void refuse(const char* name, std::string_view why) const;

 private:
  std::string hint(const char* name) const;

  const EnvironmentLookup& lookup_;
  Cluster::Kind kind_;
};

/// The variables a launcher tells the ranks by; no local ones: nullptr.
struct RankNames {
  const char* rank;
  const char* world_size;
  const char* local_rank;
  const char* local_world_size;
};

/// A cluster with the ranks set and checked, nodes counted from them. Throws DistributedError.
Cluster read_ranks(const ClusterVariables& variables, const RankNames& names);
/// Sets rank 0's address and port from MASTER_ADDR and MASTER_PORT. Throws DistributedError.
void read_master(const ClusterVariables& variables, Cluster& cluster);

}  // namespace levin
