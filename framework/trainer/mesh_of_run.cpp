#include <levin/framework/trainer/mesh_of_run.h>

#include <string>

#include <fmt/format.h>

#include <levin/framework/core/host_name.h>
#include <levin/framework/launch/device_mesh.h>
#include <levin/framework/tensor/random.h>
#include <levin/framework/trainer/job_restarts.h>

namespace levin {
void show_mesh(Run& run, Strategy& strategy) {
  const DeviceMesh* mesh = strategy.mesh();
  if (mesh == nullptr || mesh->sizes().pipeline == mesh->world_size()) return;
  const auto hosts = strategy.ranks().gather(host_name());
  auto table = mesh->table(hosts);
  if (table.ends_with('\n')) table.pop_back();  // print adds one
  const auto& sizes = mesh->sizes();
  run.print(fmt::format("{} ranks: pipeline {} x data {} x tensor {}\n{}", mesh->world_size(),
                        sizes.pipeline, sizes.data, sizes.tensor, table));
  if (const auto warning = mesh->warning(hosts); !warning.empty()) run.warn(warning);
}

void draw_by_place(Strategy& strategy) {
  const DeviceMesh* mesh = strategy.mesh();
  if (mesh != nullptr && mesh->sizes().tensor > 1) draw_as_rank_zero(strategy.ranks());
  const int64_t rank = strategy.random_rank();
  if (rank != 0) reseed_for_rank(rank);
}

}  // namespace levin
