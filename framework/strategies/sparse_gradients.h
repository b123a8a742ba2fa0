#pragma once

#include <vector>

#include <levin/framework/tensor/tensor.h>

namespace torch::nn {
class Module;
}

namespace levin {

/// Says for each of `parameters` whether its gradients are sparse, as are those of the weights of
/// the module's embeddings that were made with sparse = true.
std::vector<bool> find_sparse_gradients(const torch::nn::Module& module,
                                        const std::vector<torch::Tensor>& parameters);

/// A sparse gradient for `parameter`, [rows, ...], that has none of its rows: what a rank without a
/// loss gives to the sum.
torch::Tensor no_sparse_gradient(const torch::Tensor& parameter);

}  // namespace levin
