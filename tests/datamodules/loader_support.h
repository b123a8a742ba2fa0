#pragma once

#include <torch/torch.h>

#include <utility>
#include <vector>

#include <levin/framework/data/dataloader.h>

namespace levin::test {

/// Everything one epoch of a loader gives, in its order.
inline Batch read_all(const DataLoaders& loaders) {
  std::vector<torch::Tensor> inputs;
  std::vector<torch::Tensor> targets;
  auto reader = loaders.front().open();
  Batch batch;
  while (reader.next(batch)) {
    inputs.push_back(batch.input().clone());
    if (batch.has("target")) targets.push_back(batch.target().clone());
  }
  NamedTensors all = {{"input", torch::cat(inputs)}};
  if (!targets.empty()) all.emplace_back("target", torch::cat(targets));
  return Batch(std::move(all));
}

}  // namespace levin::test
