#pragma once

#include <memory>

#include <levin/framework/collectives/process_group.h>
#include <levin/framework/launch/device_mesh.h>

namespace levin {

/// The process groups along the axes of a DeviceMesh that a rank belongs to.
///
///     MeshGroups groups(all, DeviceMesh::of(8, {.pipeline = 2, .tensor = 2}));
///     groups.data().all_reduce(gradient);           // 2 ranks: same layers, other rows
class MeshGroups {
 public:
  /// Joins the ranks of each group; `all` are those of the run, and must live longer. A collective
  /// of all ranks.
  MeshGroups(ProcessGroup& all, const DeviceMesh& mesh);

  const DeviceMesh& mesh() const { return mesh_; }
  /// The place of this rank.
  const MeshPlace& place() const { return place_; }
  /// The ranks that have the same parts of the model as this one, and other rows.
  ProcessGroup& data() { return data_ ? *data_ : all_; }
  /// The ranks that have the same rows as this one, and the other stages of the model.
  ProcessGroup& pipeline() { return pipeline_ ? *pipeline_ : all_; }
  /// The ranks that share each layer with this one; null if no layer is shared.
  const std::shared_ptr<ProcessGroup>& tensor() const { return tensor_; }

 private:
  /// A group of its own for this rank's group along an axis; null if that is all ranks.
  std::shared_ptr<ProcessGroup> group_along(MeshAxis axis) const;

  ProcessGroup& all_;
  DeviceMesh mesh_;
  MeshPlace place_;
  std::shared_ptr<ProcessGroup> data_;
  std::shared_ptr<ProcessGroup> pipeline_;
  std::shared_ptr<ProcessGroup> tensor_;
};

}  // namespace levin
