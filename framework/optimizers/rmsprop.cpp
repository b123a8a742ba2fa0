#include <levin/framework/optimizers/rmsprop.h>

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_addcdiv.h>
#include <ATen/ops/_foreach_addcmul.h>
#include <ATen/ops/_foreach_div.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_neg.h>
#include <ATen/ops/_foreach_sqrt.h>

#include <levin/framework/optimizers/checks.h>

namespace levin {

Fields describe(RMSpropOptions& o) {
  return fields_of<RMSpropOptions>({
      {"learning_rate", &o.learning_rate, "step size"},
      {"alpha", &o.alpha, "decay rate of the running mean of the squared gradient"},
      {"eps", &o.eps, "added to the denominator"},
      {"weight_decay", &o.weight_decay, "L2 penalty: decay * parameter is added to the gradient"},
      {"momentum", &o.momentum, "share of the last step's direction that is kept"},
      {"centered", &o.centered, "divide by the standard deviation, not the root mean square"},
      {"maximize", &o.maximize, "go up the gradient instead of down"},
  });
}

void validate(const RMSpropOptions& o) {
  check_at_least_zero("learning_rate", o.learning_rate);
  check_at_least_zero("alpha", o.alpha);
  check_at_least_zero("eps", o.eps);
  check_at_least_zero("weight_decay", o.weight_decay);
  check_at_least_zero("momentum", o.momentum);
}

RMSprop::RMSprop(std::vector<torch::Tensor> parameters, RMSpropOptions options)
    : RMSprop(single_group(std::move(parameters)), options) {}

RMSprop::RMSprop(std::vector<ParameterGroup> groups, RMSpropOptions options)
    : PerParameterOptimizer(
          (validate(options), std::move(groups)), options.learning_rate, options.weight_decay,
          {.states = state_kinds(options), .has_fused = false, .is_elementwise = true}),
      options_(options) {}

std::vector<PerParameterOptimizer::StateKind> RMSprop::state_kinds(const RMSpropOptions& options) {
  std::vector<StateKind> kinds = {{"square_avg"}};
  if (options.momentum != 0.0) kinds.push_back({"momentum_buffer"});
  if (options.centered) kinds.push_back({"grad_avg"});
  return kinds;
}

void RMSprop::plain(const Lists& lists) {
  const auto& o = options_;
  const auto& mean_squares = lists.states[0];
  std::vector<torch::Tensor> changed;
  if (o.maximize) changed = at::_foreach_neg(lists.gradients);
  if (lists.weight_decay != 0.0) {
    changed = at::_foreach_add(o.maximize ? changed : lists.gradients, lists.parameters,
                               lists.weight_decay);
  }
  const auto& gradients = changed.empty() ? lists.gradients : changed;

  at::_foreach_mul_(mean_squares, o.alpha);
  at::_foreach_addcmul_(mean_squares, gradients, gradients, 1.0 - o.alpha);
  std::vector<torch::Tensor> roots;
  if (o.centered) {
    const auto& means = lists.states.back();
    at::_foreach_lerp_(means, gradients, 1.0 - o.alpha);
    roots = at::_foreach_addcmul(mean_squares, means, means, -1.0);
    at::_foreach_sqrt_(roots);
  } else {
    roots = at::_foreach_sqrt(mean_squares);
  }
  at::_foreach_add_(roots, o.eps);
  if (o.momentum != 0.0) {
    const auto& momenta = lists.states[1];
    at::_foreach_mul_(momenta, o.momentum);
    at::_foreach_addcdiv_(momenta, gradients, roots);
    if (lists.learning_rate_tensor.defined()) {
      at::_foreach_add_(lists.parameters, at::_foreach_mul(momenta, lists.learning_rate_tensor),
                        -1);
    } else {
      at::_foreach_add_(lists.parameters, momenta, -lists.learning_rate);
    }
  } else if (lists.learning_rate_tensor.defined()) {
    at::_foreach_div_(roots, lists.learning_rate_tensor.neg());
    at::_foreach_addcdiv_(lists.parameters, gradients, roots);
  } else {
    at::_foreach_addcdiv_(lists.parameters, gradients, roots, -lists.learning_rate);
  }
}

}  // namespace levin
