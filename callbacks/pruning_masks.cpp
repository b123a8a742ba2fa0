#include <levin/callbacks/pruning_masks.h>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>

#include <levin/callbacks/parameters_to_prune.h>

namespace levin {

void PruningMasks::begin(const Module& module, const std::vector<std::string>& names,
                         const PruningChoice& choice) {
  *this = {};
  for (const auto& [name, weight] : parameters_to_prune(module, names, choice)) {
    names_.push_back(name);
    weights_.push_back(weight);
    masks_.push_back(at::ones_like(weight.detach()));
  }
}

double PruningMasks::sparsity() const {
  double left = 0.0;
  double all = 0.0;
  for (const auto& mask : masks_) {
    left += mask.count_nonzero().item<double>();
    all += static_cast<double>(mask.numel());
  }
  return all > 0.0 ? 1.0 - left / all : 0.0;
}

void PruningMasks::prune(const PruningChoice& choice, bool together, Run& run) {
  if (together) return choose_pruned(choice, weights_, masks_, run);
  for (size_t i = 0; i < weights_.size(); ++i) {
    std::vector<torch::Tensor> mask{masks_[i]};
    choose_pruned(choice, {weights_[i]}, mask, run);
  }
}

void PruningMasks::apply() {
  const at::NoGradGuard no_grad;
  at::_foreach_mul_(weights_, masks_);
}

void PruningMasks::save_to(StateDict& state) const {
  for (size_t i = 0; i < names_.size(); ++i) state.tensors[names_[i]] = masks_[i].to(at::kBool);
}

void PruningMasks::load_from(const StateDict& state) {
  for (size_t i = 0; i < names_.size(); ++i) {
    const auto found = state.tensors.find(names_[i]);  // missing if it wasn't pruned before
    if (found != state.tensors.end() && found->second.sizes() == masks_[i].sizes()) {
      masks_[i].copy_(found->second);
    }
  }
}

}  // namespace levin
