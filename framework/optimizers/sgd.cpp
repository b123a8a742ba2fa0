#include <levin/framework/optimizers/sgd.h>

#include <ATen/ops/_fused_sgd.h>
#include <c10/core/DeviceGuard.h>

#include <levin/framework/core/error.h>
#include <levin/framework/kernels/cpu/stacked.h>
#include <levin/framework/kernels/cuda/optimizers.h>
#include <levin/framework/optimizers/checks.h>
#include <levin/framework/optimizers/sparse_numbers.h>
#include <levin/framework/tensor/device_graph.h>

namespace levin {
namespace {

template <class Number>
void subtract_numbers(const torch::Tensor& parameter, const torch::Tensor& gradient, double rate) {
  auto* const numbers = parameter.mutable_data_ptr<Number>();
  const auto own_rate = static_cast<Number>(rate);
  for_each_number<Number>(
      gradient, [=](int64_t place, Number number) { numbers[place] -= own_rate * number; });
  parameter.unsafeGetTensorImpl()->bump_version();
}

// Changes the entries that the gradient has, and no others.
void subtract_sparse(const torch::Tensor& parameter, const torch::Tensor& gradient, double rate) {
  if (suits_device_step(parameter, gradient)) {
    step_on_device(parameter, {}, gradient, rate);
  } else if (!has_single_numbers(parameter, gradient)) {
    parameter.add_(gradient, -rate);
  } else if (parameter.scalar_type() == at::kFloat) {
    subtract_numbers<float>(parameter, gradient, rate);
  } else {
    subtract_numbers<double>(parameter, gradient, rate);
  }
}

}  // namespace

Fields describe(SGDOptions& o) {
  return fields_of<SGDOptions>({
      {"learning_rate", &o.learning_rate, "step size"},
      {"momentum", &o.momentum, "share of the last step's direction that is kept"},
      {"dampening", &o.dampening, "share of the gradient kept out of the momentum"},
      {"weight_decay", &o.weight_decay, "L2 penalty: decay * parameter is added to the gradient"},
      {"nesterov", &o.nesterov, "Nesterov's momentum; needs momentum and no dampening"},
      {"maximize", &o.maximize, "go up the gradient instead of down"},
  });
}

void validate(const SGDOptions& o) {
  check_at_least_zero("learning_rate", o.learning_rate);
  check_at_least_zero("momentum", o.momentum);
  check_option(o.dampening <= 1.0, "dampening", o.dampening, "must be at most 1");
  check_at_least_zero("weight_decay", o.weight_decay);
  if (o.nesterov && (o.momentum == 0.0 || o.dampening != 0.0)) {
    throw ConfigError::conflict("nesterov needs a momentum above 0 and a dampening of 0",
                                "set momentum, or leave nesterov out");
  }
}

SGD::SGD(std::vector<torch::Tensor> parameters, SGDOptions options)
    : SGD(single_group(std::move(parameters)), options) {}

SGD::SGD(std::vector<ParameterGroup> groups, SGDOptions options)
    : PerParameterOptimizer(
          (validate(options), std::move(groups)), options.learning_rate, options.weight_decay,
          {.states = options.momentum == 0.0 ? std::vector<StateKind>{}
                                             : std::vector<StateKind>{{"momentum_buffer"}},
           .is_elementwise = true,
           .is_capturable = true}),
      options_(options) {}

void SGD::step_on_host(std::span<const HostParameter> parameters) const {
  for (const HostParameter& one : parameters) {
    kernels::best_stacked().sgd_step({.parameter = one.parameter,
                                      .gradient = one.gradient,
                                      .count = one.count,
                                      .sign = options_.maximize ? -1.0F : 1.0F,
                                      .weight_decay = static_cast<float>(one.weight_decay),
                                      .rate = static_cast<float>(one.learning_rate)});
  }
}

void SGD::fused(const Lists& lists) {
  const auto& o = options_;
  const auto& like = lists.parameters.front();
  if (like.is_cpu() && c10::elementSize(like.scalar_type()) < sizeof(float)) {
    // LibTorch 2.11's kernel for the CPU leaves such parameters as they are.
    for (auto gradient : lists.gradients) {
      if (lists.grad_scale) gradient.div_(lists.grad_scale->to(gradient.scalar_type()));
    }
    return plain(lists);
  }
  const at::TensorList momenta =
      lists.states.empty() ? at::TensorList() : at::TensorList(lists.states[0]);
  const auto call = [&](const auto& rate) {
    at::_fused_sgd_(lists.parameters, lists.gradients, momenta, lists.weight_decay, o.momentum,
                    rate, o.dampening, o.nesterov, o.maximize, lists.first && o.momentum != 0.0,
                    lists.grad_scale, lists.found_inf);
  };
  if (lists.learning_rate_tensor.defined()) {
    call(lists.learning_rate_tensor);
  } else {
    call(lists.learning_rate);
  }
}

bool SGD::fused_with_count(const Lists& lists) {
  const bool is_plain = options_.momentum == 0.0 && !lists.grad_scale && !lists.found_inf;
  if (!is_plain || !suits_cuda_kernels(lists)) return false;
  std::vector<kernels::cuda::SgdParameter> parameters(lists.parameters.size());
  for (size_t i = 0; i < parameters.size(); ++i) {
    parameters[i] = {lists.parameters[i].mutable_data_ptr<float>(),
                     lists.gradients[i].const_data_ptr<float>(), lists.parameters[i].numel()};
  }
  const at::Device device = lists.parameters.front().device();
  const c10::DeviceGuard on_device(device);
  kernels::cuda::sgd_step({.parameters = parameters,
                           .learning_rate = lists.learning_rate_tensor.const_data_ptr<float>(),
                           .weight_decay = lists.weight_decay,
                           .maximize = options_.maximize},
                          current_stream(device));
  return true;
}

void SGD::plain(const Lists& lists) {
  for (size_t i = 0; i < lists.parameters.size(); ++i) {
    const auto& parameter = lists.parameters[i];
    auto gradient = lists.gradients[i];
    if (gradient.is_sparse()) {  // without momentum or decay, see takes_sparse
      const double sign = options_.maximize ? -1.0 : 1.0;
      subtract_sparse(parameter, gradient, sign * lists.learning_rate);
      continue;
    }
    if (options_.maximize) gradient = gradient.neg();
    if (lists.weight_decay != 0.0) gradient = gradient.add(parameter, lists.weight_decay);
    if (options_.momentum != 0.0) {
      const auto& momentum = lists.states[0][i];
      if (lists.first) {
        momentum.copy_(gradient);
      } else {
        momentum.mul_(options_.momentum).add_(gradient, 1.0 - options_.dampening);
      }
      gradient = options_.nesterov ? gradient.add(momentum, options_.momentum) : momentum;
    }
    parameter.add_(gradient, -lists.learning_rate);
  }
}

bool SGD::takes_sparse(const ParameterGroup& group) const {
  return options_.momentum == 0.0 && group.weight_decay == 0.0;
}

}  // namespace levin
