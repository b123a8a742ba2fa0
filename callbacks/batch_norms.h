#pragma once

#include <torch/nn/module.h>

namespace levin {

class Run;

/// Whether the module has batch norms that keep running statistics, those of LibTorch or a
/// SyncBatchNorm.
bool has_batch_norms(const torch::nn::Module& module);

/// Whether this layer itself is a batch norm.
bool is_batch_norm(const torch::nn::Module& layer);

/// Computes the running statistics of the module's batch norms anew, as means over all batches of a
/// training epoch, by its present weights. Needed if weights were put together from those of
/// several moments. It calls training_step without gradients for each batch; all else that runs in
/// a forward pass, such as dropout, is as in training.
///
/// To be called in on_train_end, by every rank. Each rank computes the statistics of its own rows,
/// and those of layers that are joined over ranks are those of all rows.
void update_batch_norms(Run& run);

}  // namespace levin
