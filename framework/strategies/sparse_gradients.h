#pragma once

#include <vector>

#include <levin/framework/tensor/tensor.h>

namespace torch::nn {
class Module;
}

namespace levin {

/// Returns for each of `parameters` whether its gradients are sparse. They are for the weights of
/// torch::nn::Embedding and EmbeddingBag layers that were made with sparse = true. Other layers
/// with sparse gradients aren't recognised. `module` itself isn't looked at, only its descendants.
///
/// GradientReducer has to know this before the first backward, because sparse gradients get buckets
/// of their own.
std::vector<bool> find_sparse_gradients(const torch::nn::Module& module,
                                        const std::vector<torch::Tensor>& parameters);

/// Returns a sparse gradient for `parameter`, [rows, ...], that contains none of its rows. It is
/// what a rank without a loss adds to the sum, since all ranks have to give a gradient of the same
/// layout.
torch::Tensor no_sparse_gradient(const torch::Tensor& parameter);

}  // namespace levin
