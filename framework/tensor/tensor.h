#pragma once

// The tensor type that Levin's headers use, `torch::Tensor`, without the rest of LibTorch: this
// header compiles much faster than <torch/torch.h>. Include <levin/levin.h> in a program to get
// all of LibTorch.

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace torch {
/// LibTorch declares this alias in <torch/types.h>, which takes long to compile. Both declarations
/// may be seen by one source file.
using at::Tensor;
}  // namespace torch

namespace levin {

/// Tensors by name, in the order they were added, for example what `Trainer::predict` returns.
/// Names should differ, but nothing checks that here. To find a tensor by its name, look through
/// the pairs in order; a list has few of them. Copies of the list share the tensors.
using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

}  // namespace levin
