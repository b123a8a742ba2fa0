#pragma once

#include <functional>
#include <vector>

#include <levin/framework/tensor/tensor.h>

namespace levin {

/// Scales all gradients by one factor, in place, so that their joint norm is at most `max_norm`.
/// Returns their norm before that, []; 0 if no parameter has a gradient. `norm_type` is the p of
/// the norm and may be infinity. Sparse gradients are coalesced. The host never waits for the
/// device. Throws ConfigError if `max_norm` is negative or `norm_type` isn't above 0. PyTorch:
/// torch.nn.utils.clip_grad_norm_.
///
/// If each rank has only a part of the gradients, `join` receives the norm of this rank's part and
/// returns the norm over all ranks, both [].
torch::Tensor clip_grad_norm(
    const std::vector<torch::Tensor>& parameters, double max_norm, double norm_type = 2.0,
    const std::function<torch::Tensor(const torch::Tensor& norm)>& join = {});

/// Clamps each entry of the gradients to [-clip_value, clip_value], in place. The host never waits
/// for the device. Throws ConfigError if `clip_value` is negative. PyTorch:
/// torch.nn.utils.clip_grad_value_.
void clip_grad_value(const std::vector<torch::Tensor>& parameters, double clip_value);

/// Multiplies all gradients by `factor`, [] float64 on their device, in place. For gradients of two
/// bytes the product is computed in float32. Sparse gradients are coalesced. The host never waits
/// for the device.
void scale_gradients(const std::vector<torch::Tensor>& parameters, const torch::Tensor& factor);

}  // namespace levin
