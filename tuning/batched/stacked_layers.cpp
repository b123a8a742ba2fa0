#include <levin/tuning/batched/stacked_layers.h>

#include <utility>

#include <ATen/ops/addmm.h>
#include <ATen/ops/baddbmm.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/sum.h>
#include <c10/core/GradMode.h>

namespace levin {
namespace {

/// The places of the weights in a chain's list of parameters, and those of their biases; -1 for a
/// layer without one.
std::vector<std::pair<size_t, int64_t>> layers_among(const std::vector<torch::Tensor>& parameters) {
  std::vector<std::pair<size_t, int64_t>> layers;
  for (size_t i = 0; i < parameters.size(); ++i) {
    if (parameters[i].dim() == 2) {
      layers.emplace_back(i, -1);
    } else {
      layers.back().second = static_cast<int64_t>(i);
    }
  }
  return layers;
}

/// Stacks the parameters at that place of all chains, and makes them views of the result.
torch::Tensor stack_in_place(const std::vector<std::vector<torch::Tensor>>& parameters,
                             size_t place) {
  std::vector<torch::Tensor> own;
  for (const auto& chain : parameters) own.push_back(chain[place].detach());
  auto stacked = at::stack(own);
  for (size_t k = 0; k < parameters.size(); ++k) {
    parameters[k][place].set_data(stacked.select(0, static_cast<int64_t>(k)));
  }
  return stacked;
}

}  // namespace

StackedLayers::StackedLayers(const std::vector<std::vector<torch::Tensor>>& parameters,
                             const Activation* activation)
    : activation_(activation) {
  const at::NoGradGuard no_grad;
  for (const auto& [weight, bias] : layers_among(parameters.front())) {
    weights_.push_back(stack_in_place(parameters, weight));
    biases_.push_back(bias < 0 ? torch::Tensor()
                               : stack_in_place(parameters, static_cast<size_t>(bias)));
  }
  for (auto& gradients : buffers_) make_gradients(gradients);
}

void StackedLayers::make_gradients(Gradients& gradients) const {
  const auto chains = static_cast<size_t>(weights_.front().size(0));
  gradients.of_chain.resize(chains);
  for (size_t layer = 0; layer < weights_.size(); ++layer) {
    const bool has_bias = biases_[layer].defined();
    gradients.weights.push_back(at::empty_like(weights_[layer]));
    gradients.biases.push_back(has_bias ? at::empty_like(biases_[layer]) : torch::Tensor());
    for (size_t k = 0; k < chains; ++k) {
      const auto at = static_cast<int64_t>(k);
      gradients.of_chain[k].push_back(gradients.weights.back().select(0, at));
      if (has_bias) gradients.of_chain[k].push_back(gradients.biases.back().select(0, at));
    }
  }
}

bool StackedLayers::holds(const std::vector<torch::Tensor>& first,
                          const std::vector<torch::Tensor>& last) const {
  const auto& weight = weights_.front();
  const auto is_there = [&](const torch::Tensor& parameter, int64_t chain) {
    return parameter.scalar_type() == weight.scalar_type() &&
           parameter.device() == weight.device() &&
           parameter.const_data_ptr() == weight.select(0, chain).const_data_ptr();
  };
  return is_there(first.front(), 0) && is_there(last.front(), weight.size(0) - 1);
}

torch::Tensor StackedLayers::forward(const torch::Tensor& rows, bool keeps) {
  const at::NoGradGuard no_grad;
  units_.clear();
  kept_.clear();
  rows_ = rows;
  torch::Tensor x;
  for (size_t layer = 0; layer < weights_.size(); ++layer) {
    const auto& weight = weights_[layer];
    const auto& bias = biases_[layer];
    torch::Tensor output;
    if (layer == 0) {
      const auto flat = weight.view({-1, weight.size(2)});
      output =
          bias.defined() ? at::addmm(bias.view({-1, 1}), flat, rows.t()) : at::mm(flat, rows.t());
      output = output.view({weight.size(0), weight.size(1), rows.size(0)});
    } else {
      output = bias.defined() ? at::baddbmm(bias.unsqueeze(2), weight, x) : at::bmm(weight, x);
    }
    if (layer + 1 == weights_.size()) return output;
    if (keeps && activation_->derives_from_x) {
      x = at::empty_like(output);
      kept_.push_back(output);
    } else {
      x = output;
      if (keeps) kept_.push_back(x);
    }
    activation_->write(x, output);
    if (keeps) units_.push_back(x);
  }
  return x;
}

SoftmaxStack::Models StackedLayers::models_of(const std::vector<torch::Tensor>& weights,
                                              const std::vector<torch::Tensor>& biases) {
  const auto& weight = weights.front();
  const auto& bias = biases.front();
  return {weight.mutable_data_ptr<float>(),
          bias.defined() ? bias.mutable_data_ptr<float>() : nullptr, weight.size(1),
          weight.size(2)};
}

void StackedLayers::add_gradients() {
  const at::NoGradGuard no_grad;
  auto& [own, beside] = buffers_;
  for (size_t layer = 0; layer < weights_.size(); ++layer) {
    own.weights[layer].add_(beside.weights[layer]);
    if (own.biases[layer].defined()) own.biases[layer].add_(beside.biases[layer]);
  }
}

void StackedLayers::scale_gradients(double factor) {
  const at::NoGradGuard no_grad;
  for (auto& gradient : written().weights) gradient.mul_(factor);
  for (auto& gradient : written().biases) {
    if (gradient.defined()) gradient.mul_(factor);
  }
}

void StackedLayers::backward(torch::Tensor gradient) {
  const at::NoGradGuard no_grad;
  auto& buffer = written();
  for (size_t layer = weights_.size(); layer-- > 0;) {
    const auto& weight = weights_[layer];
    auto& weight_gradient = buffer.weights[layer];
    if (biases_[layer].defined()) at::sum_out(buffer.biases[layer], gradient, {2});
    if (layer == 0) {
      auto flat = weight_gradient.view({-1, weight.size(2)});
      at::mm_out(flat, gradient.view({-1, gradient.size(2)}), rows_);
      return;
    }
    at::bmm_out(weight_gradient, gradient, units_[layer - 1].transpose(1, 2));
    gradient = at::bmm(weight.transpose(1, 2), gradient);
    activation_->derive(gradient, kept_[layer - 1]);
  }
}

}  // namespace levin
