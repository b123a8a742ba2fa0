#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace torch {
using at::Tensor;  // what <torch/types.h> calls it too, without its cost
}

namespace levin {

/// Tensors by name, in the order they were added: what a batch holds and `predict` returns.
using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

}  // namespace levin
