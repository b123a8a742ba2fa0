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
  std::vector<torch::Tensor> groups;
  auto reader = loaders.front().open();
  Batch batch;
  while (reader.next(batch)) {
    inputs.push_back(batch.input().clone());
    if (batch.has("target")) targets.push_back(batch.target().clone());
    if (batch.has("group")) groups.push_back(batch["group"].clone());
  }
  NamedTensors all = {{"input", torch::cat(inputs)}};
  if (!targets.empty()) all.emplace_back("target", torch::cat(targets));
  if (!groups.empty()) all.emplace_back("group", torch::cat(groups));
  return Batch(std::move(all));
}

}  // namespace levin::test
