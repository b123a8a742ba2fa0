#include <levin/framework/strategies/sparse_gradients.h>

#include <algorithm>

#include <ATen/Functions.h>
#include <torch/nn/modules/embedding.h>

namespace levin {

std::vector<bool> find_sparse_gradients(const torch::nn::Module& module,
                                        const std::vector<torch::Tensor>& parameters) {
  std::vector<bool> sparse(parameters.size(), false);
  for (const auto& one : module.modules(/*include_self=*/false)) {
    const torch::Tensor* weight = nullptr;
    if (const auto* embedding = one->as<torch::nn::Embedding>()) {
      if (embedding->options.sparse()) weight = &embedding->weight;
    } else if (const auto* bag = one->as<torch::nn::EmbeddingBag>()) {
      if (bag->options.sparse()) weight = &bag->weight;
    }
    if (weight == nullptr) continue;
    for (size_t i = 0; i < parameters.size(); ++i) {
      if (parameters[i].is_same(*weight)) sparse[i] = true;
    }
  }
  return sparse;
}

torch::Tensor no_sparse_gradient(const torch::Tensor& parameter) {
  auto sizes = parameter.sizes().vec();
  sizes[0] = 0;
  const auto indices = at::empty({1, 0}, parameter.options().dtype(at::kLong).requires_grad(false));
  const auto values = at::empty(sizes, parameter.options().requires_grad(false));
  return at::sparse_coo_tensor(indices, values, parameter.sizes());
}

}  // namespace levin
