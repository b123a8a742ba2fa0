#include <levin/framework/strategies/mesh_groups.h>

namespace levin {

MeshGroups::MeshGroups(ProcessGroup& all, const DeviceMesh& mesh)
    : all_(all),
      mesh_(mesh),
      place_(mesh.place_of(all.rank())),
      data_(group_along(MeshAxis::data)),
      pipeline_(group_along(MeshAxis::pipeline)) {
  if (mesh_.sizes().tensor == 1) return;
  // Always a group of its own: layers keep it, and use it on autograd's threads.
  tensor_ =
      std::make_shared<ProcessGroup>(all_, mesh_.group_of(MeshAxis::tensor, all_.rank()), "tensor");
}

std::shared_ptr<ProcessGroup> MeshGroups::group_along(MeshAxis axis) const {
  if (mesh_.size(axis) == mesh_.world_size()) return nullptr;
  return std::make_shared<ProcessGroup>(all_, mesh_.group_of(axis, all_.rank()), name_of(axis));
}

}  // namespace levin
