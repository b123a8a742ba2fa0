#pragma once

#include <cstdint>

#include <c10/core/Device.h>

namespace levin {

class DeviceMesh;

/// Where a rank of a run is: on which host among those of the run, on which device of it, and in
/// which part of a model. The number among all ranks is Ranks::rank. Lightning: Trainer.node_rank,
/// local_rank, num_devices and device_ids.
struct Place {
  /// The device of this rank.
  at::Device device = at::kCPU;
  /// How many ranks share a model, of which each has a part (a pipeline), so that all of them have
  /// the same rows. 1 if each rank has the whole model and rows of its own.
  int64_t model_size = 1;
  /// The number of this rank among those, from 0 to `model_size` - 1. What counts or writes rows
  /// leaves that to rank 0 of each model.
  int64_t model_rank = 0;
  /// How the ranks share models and batches, if several of them share a model: pipeline x data x
  /// tensor. Null if each rank has the whole model. Lightning: LightningModule.device_mesh.
  const DeviceMesh* mesh = nullptr;
  /// The number of this host, from 0 to `num_nodes` - 1.
  int64_t node_rank = 0;
  int64_t num_nodes = 1;
  /// The number of this rank on its host, from 0 to `num_devices` - 1.
  int64_t local_rank = 0;
  /// How many ranks this host has. Each of them has a device of its own, or shares the CPU.
  int64_t num_devices = 1;
};

}  // namespace levin
