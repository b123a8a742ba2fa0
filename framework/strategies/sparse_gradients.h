#pragma once

#include <vector>

#include <levin/framework/tensor/tensor.h>

namespace torch::nn {
class Module;
}

namespace levin {

/// Which of `parameters` get sparse gradients: the weights of the module's embeddings with
/// sparse = true.
std::vector<bool> find_sparse_gradients(const torch::nn::Module& module,
                                        const std::vector<torch::Tensor>& parameters);

/// A sparse gradient of no rows of `parameter`, [rows, ...].
torch::Tensor no_sparse_gradient(const torch::Tensor& parameter);

}  // namespace levin
