#include <levin/callbacks/parameter_counts.h>

#include <torch/nn/module.h>

#include <unordered_set>

namespace levin {

ParameterCounts count_parameters(const torch::nn::Module& module) {
  ParameterCounts counts;
  std::unordered_set<const void*> seen;
  for (const auto& item : module.named_parameters()) {
    const auto& tensor = item.value();
    if (!tensor.defined() || !seen.insert(tensor.unsafeGetTensorImpl()).second) continue;
    counts.elements += tensor.numel();
    counts.trainable += tensor.requires_grad() ? tensor.numel() : 0;
    counts.bytes += tensor.numel() * static_cast<int64_t>(tensor.element_size());
  }
  return counts;
}

}  // namespace levin
