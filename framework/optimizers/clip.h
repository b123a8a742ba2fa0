#pragma once

#include <functional>
#include <vector>

#include <levin/framework/tensor/tensor.h>

namespace levin {

/// Scales all gradients by one factor so that their joint norm is at most `max_norm`. No host
/// synchronisation. `norm_type` may be infinity. Returns the norm before, []; 0 without gradients.
/// Sparse gradients are coalesced. PyTorch: torch.nn.utils.clip_grad_norm_.
///
/// `join`, where given, makes the norm of these gradients, [], that of all ranks'.
torch::Tensor clip_grad_norm(
    const std::vector<torch::Tensor>& parameters, double max_norm, double norm_type = 2.0,
    const std::function<torch::Tensor(const torch::Tensor& norm)>& join = {});

/// Brings each entry of the gradients into [-clip_value, clip_value]. No host synchronisation.
/// PyTorch: torch.nn.utils.clip_grad_value_.
void clip_grad_value(const std::vector<torch::Tensor>& parameters, double clip_value);

}  // namespace levin
