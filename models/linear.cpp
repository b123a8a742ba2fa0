#include <levin/models/linear.h>

#include <optional>

#include <ATen/TracerMode.h>
#include <ATen/autocast_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linear.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <levin/framework/tensor/divided_memory.h>
#include <levin/models/linear_products.h>
#include <levin/models/sparse_linear.h>

namespace levin {
namespace {

namespace autograd = torch::autograd;

bool is_plain(const torch::Tensor& tensor) {
  return !is_divided(tensor) && tensor.is_cpu() && tensor.scalar_type() == at::kFloat &&
         tensor.layout() == at::kStrided;
}

/// x . weight^T + bias
torch::Tensor output_of(const torch::Tensor& x, const torch::Tensor& weight,
                        const torch::Tensor& bias) {
  auto result = at::empty({x.size(0), weight.size(0)}, x.options());
  linear_output(result, x, weight, bias);
  return result;
}

class SharedLinear : public autograd::Function<SharedLinear> {
 public:
  static torch::Tensor forward(autograd::AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& weight,
                               const std::optional<torch::Tensor>& bias) {
    context->save_for_backward({x, weight});
    context->saved_data["has_bias"] = bias.has_value();
    return output_of(x, weight, bias.value_or(torch::Tensor()));
  }

  static autograd::variable_list backward(autograd::AutogradContext* context,
                                          const autograd::variable_list& outer) {
    const auto saved = context->get_saved_variables();
    const auto& x = saved[0];
    const auto& weight = saved[1];
    if (!outer[0].defined()) return {{}, {}, {}};
    const bool needs_x = context->needs_input_grad(0);
    const bool needs_weight = context->needs_input_grad(1);
    const bool needs_bias =
        context->saved_data["has_bias"].toBool() && context->needs_input_grad(2);
    if (at::GradMode::is_enabled() || !is_plain(outer[0])) {  // by operations with gradients
      return {needs_x ? outer[0].mm(weight) : torch::Tensor(),
              needs_weight ? outer[0].t().mm(x) : torch::Tensor(),
              needs_bias ? outer[0].sum(0) : torch::Tensor()};
    }
    const auto gradient = outer[0].contiguous();
    autograd::variable_list result(3);
    if (needs_x) {
      result[0] = at::empty({gradient.size(0), weight.size(1)}, gradient.options());
      linear_input_gradient(result[0], gradient, weight);
    }
    if (needs_weight) result[1] = at::empty_like(weight);
    if (needs_bias) result[2] = at::empty({weight.size(0)}, weight.options());
    linear_parameter_gradients(result[1], result[2], gradient, x);
    return result;
  }
};

}  // namespace

torch::Tensor linear(const torch::Tensor& input, const torch::Tensor& weight,
                     const torch::Tensor& bias) {
  const bool fits = !at::autocast::is_autocast_enabled(at::kCPU) && is_plain(input) &&
                    is_plain(weight) && input.dim() == 2 && weight.dim() == 2 &&
                    input.size(1) == weight.size(1) && input.is_contiguous() &&
                    weight.is_contiguous() &&
                    (!bias.defined() || (is_plain(bias) && bias.dim() == 1 &&
                                         bias.size(0) == weight.size(0) && bias.is_contiguous()));
  if (!fits && input.layout() == at::kSparseCsr) return sparse_linear(input, weight, bias);
  const bool is_traced = at::tracer::impl::is_dispatch_enabled();  // parts can't be followed
  if (!fits || is_traced || !are_cut(input.size(0), weight)) {
    return at::linear(input, weight, bias);
  }
  const bool has_graph =
      at::GradMode::is_enabled() &&
      (input.requires_grad() || weight.requires_grad() || (bias.defined() && bias.requires_grad()));
  if (!has_graph) return output_of(input, weight, bias);
  return SharedLinear::apply(input, weight, bias.defined() ? std::optional(bias) : std::nullopt);
}

}  // namespace levin
