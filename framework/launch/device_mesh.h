#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace levin {

/// One of the three ways in which ranks share the work: each rank has some stages of the model
/// (pipeline), some rows of the batch (data), or some rows or columns of the matrices (tensor).
enum class MeshAxis { pipeline, data, tensor };

/// Returns "pipeline", "data" or "tensor".
std::string name_of(MeshAxis axis);

/// How many parts there are along each axis of a DeviceMesh.
struct MeshSizes {
  int64_t pipeline = 1;
  int64_t data = 1;
  int64_t tensor = 1;
};

/// The place of a rank in a DeviceMesh: its number along each axis, from 0.
struct MeshPlace {
  int64_t pipeline = 0;
  int64_t data = 0;
  int64_t tensor = 0;

  friend bool operator==(const MeshPlace&, const MeshPlace&) = default;
};

/// The ranks of a run, arranged as a block of pipeline x data x tensor. Lightning: device_mesh.
///
/// Ranks that differ only in one coordinate form a group along that axis, within which they
/// exchange tensors. Tensor coordinates count fastest, then data, then pipeline:
///
///     rank = tensor + tensor_size * (data + data_size * pipeline)
///
/// so that a tensor group, which exchanges the most, consists of consecutive ranks, which launchers
/// start on one host. Source: Megatron-LM's order "tp-cp-ep-dp-pp".
///
///     const auto mesh = DeviceMesh::of(32, {.pipeline = 4, .tensor = 4});   // data is 2
///     mesh.group_of(MeshAxis::tensor, 5);                                   // 4, 5, 6, 7
///     mesh.group_of(MeshAxis::data, 5);                                     // 1, 5
///     mesh.group_of(MeshAxis::pipeline, 5);                                 // 5, 13, 21, 29
class DeviceMesh {
 public:
  /// A mesh of one rank.
  DeviceMesh() = default;
  /// Throws ConfigError if a size is less than 1.
  explicit DeviceMesh(MeshSizes sizes);
  /// The mesh of `world_size` ranks with these numbers of stages and of parts of matrices; the
  /// number of data groups follows from them, whatever `sizes.data` is. Throws ConfigError if a
  /// size is less than 1, or if `world_size` isn't a multiple of the product of both.
  static DeviceMesh of(int64_t world_size, MeshSizes sizes);

  const MeshSizes& sizes() const { return sizes_; }
  /// The number of parts along one axis.
  int64_t size(MeshAxis axis) const;
  /// The number of ranks, the product of the three sizes.
  int64_t world_size() const { return sizes_.pipeline * sizes_.data * sizes_.tensor; }

  /// The place of a rank, from 0 to world_size() - 1.
  MeshPlace place_of(int64_t rank) const;
  /// The rank at a place.
  int64_t rank_at(const MeshPlace& place) const;

  /// The ranks of the group along `axis` that `rank` belongs to, in the order of their coordinate,
  /// which is ascending.
  std::vector<int64_t> group_of(MeshAxis axis, int64_t rank) const;
  /// All groups along `axis`, in the order of their first ranks. Every rank is in one of them.
  std::vector<std::vector<int64_t>> groups(MeshAxis axis) const;
  /// The ranks that hold the parts of the same replica of the model: those that have the same data
  /// coordinate as `rank`, ascending.
  std::vector<int64_t> replica_of(int64_t rank) const;

  /// Returns a table of the ranks, a line for each tensor group: its pipeline and data coordinates,
  /// its ranks, and the host of each. `hosts` has the host of every rank, in their order.
  ///
  ///     pipeline  data  ranks  host
  ///            0     0    0-3  node0
  ///            0     1    4-7  node1
  std::string table(const std::vector<std::string>& hosts) const;
  /// Returns a warning if a tensor group has ranks on several hosts, because these wait for the
  /// network in every layer; it names the first such group, and says what to do. Returns "" if
  /// there is none.
  std::string warning(const std::vector<std::string>& hosts) const;

 private:
  MeshSizes sizes_;
};

}  // namespace levin
