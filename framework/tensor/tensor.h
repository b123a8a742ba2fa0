#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace torch {
using at::Tensor;  // declared by <torch/types.h> too, which takes long to compile
}

namespace levin {

/// Tensors by name, in the order they were added, for example what `predict` returns.
using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

}  // namespace levin
