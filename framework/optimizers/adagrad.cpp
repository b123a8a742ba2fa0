#include <levin/framework/optimizers/adagrad.h>

#include <cmath>

#include <ATen/ops/_fused_adagrad.h>
#include <ATen/ops/_sparse_coo_tensor_unsafe.h>

#include <levin/framework/optimizers/checks.h>
#include <levin/framework/optimizers/sparse_numbers.h>

namespace levin {
namespace {

template <class Number>
void update_numbers(const torch::Tensor& parameter, const torch::Tensor& sum,
                    const torch::Tensor& gradient, double rate, double eps) {
  auto* const numbers = parameter.mutable_data_ptr<Number>();
  auto* const sums = sum.mutable_data_ptr<Number>();
  const auto own_rate = static_cast<Number>(rate);
  const auto own_eps = static_cast<Number>(eps);
  for_each_number<Number>(gradient, [=](int64_t place, Number number) {
    sums[place] += number * number;
    numbers[place] -= own_rate * (number / (std::sqrt(sums[place]) + own_eps));
  });
  for (const auto& changed : {parameter, sum}) changed.unsafeGetTensorImpl()->bump_version();
}

// Changes the rows that the gradient has, and no others.
void sparse_update(const torch::Tensor& parameter, const torch::Tensor& sum,
                   const torch::Tensor& sparse_gradient, double rate, double eps) {
  const auto gradient = coalesced(sparse_gradient);  // equal indices must be summed before squaring
  if (suits_device_step(parameter, gradient) && sum.is_contiguous()) {
    return step_on_device(parameter, sum, gradient, rate, eps);
  }
  if (has_single_numbers(parameter, gradient) && sum.is_contiguous()) {
    const bool is_float = parameter.scalar_type() == at::kFloat;
    return is_float ? update_numbers<float>(parameter, sum, gradient, rate, eps)
                    : update_numbers<double>(parameter, sum, gradient, rate, eps);
  }
  const auto values = gradient._values();
  const auto like_gradient = [&](const torch::Tensor& new_values) {
    return at::_sparse_coo_tensor_unsafe(gradient._indices(), new_values, gradient.sizes(),
                                         values.options().layout(at::kSparse), true);
  };
  sum.add_(like_gradient(values.square()));
  const auto root = sum.sparse_mask(gradient)._values().sqrt_().add_(eps);
  parameter.add_(like_gradient(values.div(root)), -rate);
}

}  // namespace

Fields describe(AdagradOptions& o) {
  return fields_of<AdagradOptions>({
      {"learning_rate", &o.learning_rate, "step size"},
      {"lr_decay", &o.lr_decay, "the rate of step k is learning_rate / (1 + k * lr_decay)"},
      {"weight_decay", &o.weight_decay, "L2 penalty: decay * parameter is added to the gradient"},
      {"initial_accumulator_value", &o.initial_accumulator_value, "start of the sum of squares"},
      {"eps", &o.eps, "added to the denominator"},
      {"maximize", &o.maximize, "go up the gradient instead of down"},
  });
}

void validate(const AdagradOptions& o) {
  check_at_least_zero("learning_rate", o.learning_rate);
  check_at_least_zero("lr_decay", o.lr_decay);
  check_at_least_zero("weight_decay", o.weight_decay);
  check_at_least_zero("initial_accumulator_value", o.initial_accumulator_value);
  check_at_least_zero("eps", o.eps);
}

Adagrad::Adagrad(std::vector<torch::Tensor> parameters, AdagradOptions options)
    : Adagrad(single_group(std::move(parameters)), options) {}

Adagrad::Adagrad(std::vector<ParameterGroup> groups, AdagradOptions options)
    : PerParameterOptimizer((validate(options), std::move(groups)), options.learning_rate,
                            options.weight_decay,
                            {.states = {{"sum", options.initial_accumulator_value}},
                             .counts_steps = true,
                             .is_elementwise = true}),
      options_(options) {}

void Adagrad::fused(const Lists& lists) {
  const auto& o = options_;
  const auto call = [&](const auto& rate) {
    at::_fused_adagrad_(lists.parameters, lists.gradients, lists.states[0], lists.steps, rate,
                        o.lr_decay, lists.weight_decay, o.eps, o.maximize, lists.grad_scale,
                        lists.found_inf);
  };
  if (lists.learning_rate_tensor.defined()) {
    call(lists.learning_rate_tensor);
  } else {
    call(lists.learning_rate);
  }
}

void Adagrad::plain(const Lists& lists) {
  for (size_t i = 0; i < lists.parameters.size(); ++i) {
    const auto& parameter = lists.parameters[i];
    const auto& sum = lists.states[0][i];
    auto gradient = options_.maximize ? lists.gradients[i].neg() : lists.gradients[i];
    const double step = lists.steps[i].item<double>();
    const double rate = lists.learning_rate / (1.0 + (step - 1.0) * options_.lr_decay);
    if (gradient.is_sparse()) {
      sparse_update(parameter, sum, gradient, rate, options_.eps);
      continue;
    }
    if (lists.weight_decay != 0.0) gradient = gradient.add(parameter, lists.weight_decay);
    sum.addcmul_(gradient, gradient);
    parameter.addcdiv_(gradient, sum.sqrt().add_(options_.eps), -rate);
  }
}

bool Adagrad::takes_sparse(const ParameterGroup& group) const { return group.weight_decay == 0.0; }

}  // namespace levin
