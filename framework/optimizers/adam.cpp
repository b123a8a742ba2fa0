#include <levin/framework/optimizers/adam.h>

#include <cmath>
#include <utility>

#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/maximum.h>
#include <c10/core/DeviceGuard.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <levin/framework/core/error.h>
#include <levin/framework/kernels/cpu/kernels.h>
#include <levin/framework/kernels/cuda/optimizers.h>
#include <levin/framework/optimizers/checks.h>
#include <levin/framework/tensor/device_graph.h>

namespace levin {

Fields describe(AdamOptions& o) {
  return fields_of<AdamOptions>({
      {"learning_rate", &o.learning_rate, "step size"},
      {"betas", &o.betas, "decay rates of the running means of the gradient and of its square"},
      {"eps", &o.eps, "added to the denominator"},
      {"weight_decay", &o.weight_decay, "L2 penalty: decay * parameter is added to the gradient"},
      {"amsgrad", &o.amsgrad, "divide by the largest mean square so far"},
      {"maximize", &o.maximize, "go up the gradient instead of down"},
  });
}

void validate(const AdamOptions& o) {
  check_at_least_zero("learning_rate", o.learning_rate);
  check_at_least_zero("eps", o.eps);
  check_at_least_zero("weight_decay", o.weight_decay);
  if (o.betas.size() != 2) {
    throw ConfigError::invalid_value("betas", fmt::format("{}", o.betas), "must be two numbers");
  }
  check_decay("betas[0]", o.betas[0]);
  check_decay("betas[1]", o.betas[1]);
}

Adam::Adam(std::vector<torch::Tensor> parameters, AdamOptions options)
    : Adam(single_group(std::move(parameters)), std::move(options), false) {}

Adam::Adam(std::vector<ParameterGroup> groups, AdamOptions options)
    : Adam(std::move(groups), std::move(options), false) {}

Adam::Adam(std::vector<ParameterGroup> groups, AdamOptions options, bool decoupled_weight_decay)
    : PerParameterOptimizer(
          (validate(options), std::move(groups)), options.learning_rate, options.weight_decay,
          {.states = options.amsgrad
                         ? std::vector<StateKind>{{"exp_avg"}, {"exp_avg_sq"}, {"max_exp_avg_sq"}}
                         : std::vector<StateKind>{{"exp_avg"}, {"exp_avg_sq"}},
           .counts_steps = true,
           .is_elementwise = true,
           .is_capturable = true}),
      options_(std::move(options)),
      decoupled_weight_decay_(decoupled_weight_decay) {}

void Adam::step_on_host(std::span<const HostParameter> parameters) const {
  const double beta1 = options_.betas[0];
  const double beta2 = options_.betas[1];
  kernels::AdamStep step{.sign = options_.maximize ? -1.0F : 1.0F,
                         .mean_weight = static_cast<float>(1.0 - beta1),
                         .square_decay = static_cast<float>(beta2),
                         .square_weight = static_cast<float>(1.0 - beta2),
                         .eps = static_cast<float>(options_.eps)};
  float corrected = 0.0F;  // the number of steps that `correction` and `root_factor` are for
  double correction = 1.0;
  for (const HostParameter& one : parameters) {
    if (std::exchange(corrected, one.steps) != one.steps) {
      const double count = one.steps;
      correction = 1.0 - std::pow(beta1, count);
      step.root_factor = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(beta2, count)));
    }
    step.rate = static_cast<float>(one.learning_rate / correction);
    if (decoupled_weight_decay_) {
      step.shrink = static_cast<float>(1.0 - one.learning_rate * one.weight_decay);
    } else {
      step.weight_decay = static_cast<float>(one.weight_decay);
    }
    step.parameter = one.parameter;
    step.gradient = one.gradient;
    step.mean = one.states[0];
    step.mean_square = one.states[1];
    step.count = one.count;
    kernels::best().adam_step(step);
  }
}

void Adam::fused(const Lists& lists) {
  const auto& o = options_;
  const at::TensorList largest = o.amsgrad ? at::TensorList(lists.states[2]) : at::TensorList();
  const auto call = [&](const auto& rate) {
    const auto kernel = [&](auto&& function) {
      function(lists.parameters, lists.gradients, lists.states[0], lists.states[1], largest,
               lists.steps, rate, o.betas[0], o.betas[1], lists.weight_decay, o.eps, o.amsgrad,
               o.maximize, lists.grad_scale, lists.found_inf);
    };
    if (decoupled_weight_decay_) {
      kernel([](auto&&... a) { at::_fused_adamw_(a...); });
    } else {
      kernel([](auto&&... a) { at::_fused_adam_(a...); });
    }
  };
  if (lists.learning_rate_tensor.defined()) {
    call(lists.learning_rate_tensor);
  } else {
    call(lists.learning_rate);
  }
}

bool Adam::fused_with_count(const Lists& lists) {
  if (options_.amsgrad || !suits_cuda_kernels(lists)) return false;
  std::vector<kernels::cuda::AdamParameter> parameters(lists.parameters.size());
  for (size_t i = 0; i < parameters.size(); ++i) {
    parameters[i] = {
        lists.parameters[i].mutable_data_ptr<float>(), lists.gradients[i].mutable_data_ptr<float>(),
        lists.states[0][i].mutable_data_ptr<float>(),  lists.states[1][i].mutable_data_ptr<float>(),
        lists.steps[i].mutable_data_ptr<float>(),      lists.parameters[i].numel()};
  }
  const at::Device device = lists.parameters.front().device();
  const c10::DeviceGuard on_device(device);
  const auto number = [](const std::optional<torch::Tensor>& tensor) {
    return tensor ? tensor->const_data_ptr<float>() : nullptr;
  };
  kernels::cuda::adam_step({.parameters = parameters,
                            .learning_rate = lists.learning_rate_tensor.const_data_ptr<float>(),
                            .grad_scale = number(lists.grad_scale),
                            .found_inf = number(lists.found_inf),
                            .beta1 = options_.betas[0],
                            .beta2 = options_.betas[1],
                            .eps = options_.eps,
                            .weight_decay = lists.weight_decay,
                            .decoupled_weight_decay = decoupled_weight_decay_,
                            .maximize = options_.maximize},
                           current_stream(device));
  return true;
}

void Adam::plain(const Lists& lists) {
  const double beta1 = options_.betas[0];
  const double beta2 = options_.betas[1];
  for (size_t i = 0; i < lists.parameters.size(); ++i) {
    const auto& parameter = lists.parameters[i];
    const auto& mean = lists.states[0][i];
    const auto& mean_square = lists.states[1][i];
    auto gradient = options_.maximize ? lists.gradients[i].neg() : lists.gradients[i];
    if (decoupled_weight_decay_) {
      parameter.mul_(1.0 - lists.learning_rate * lists.weight_decay);
    } else if (lists.weight_decay != 0.0) {
      gradient = gradient.add(parameter, lists.weight_decay);
    }
    mean.lerp_(gradient, 1.0 - beta1);
    mean_square.mul_(beta2).addcmul_(gradient, gradient, 1.0 - beta2);
    if (options_.amsgrad) {
      auto& largest = lists.states[2][i];
      largest.copy_(at::maximum(largest, mean_square));
    }
    const double step = lists.steps[i].item<double>();
    const double correction1 = 1.0 - std::pow(beta1, step);
    const double correction2 = std::sqrt(1.0 - std::pow(beta2, step));
    const auto root = options_.amsgrad ? lists.states[2][i].sqrt() : mean_square.sqrt();
    parameter.addcdiv_(mean, root.div_(correction2).add_(options_.eps),
                       -lists.learning_rate / correction1);
  }
}

}  // namespace levin
