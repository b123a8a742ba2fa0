#include <levin/models/linear.h>

#include <algorithm>
#include <optional>

#include <ATen/autocast_mode.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <levin/framework/threads/shared_work.h>

namespace levin {
namespace {

namespace autograd = torch::autograd;

/// How a matrix product is cut into parts along one of its dimensions.
class Cut {
 public:
  /// Cuts `size` rows or columns of a product of `flops` floating-point operations.
  Cut(int64_t size, double flops) : size_(size) {
    const auto parts = std::max(std::min(flops / kSmallPart, kFewParts), flops / kLargePart);
    const auto most = std::clamp<int64_t>(static_cast<int64_t>(parts), 1, kMostParts);
    step_ =
        std::max<int64_t>(((size + most - 1) / most + kMultiple - 1) / kMultiple, 1) * kMultiple;
  }
  int64_t parts() const { return (size_ + step_ - 1) / step_; }
  /// Returns the rows (dimension 0) or columns (1) of `matrix` that belong to a part.
  torch::Tensor of(const torch::Tensor& matrix, int64_t dimension, int64_t part) const {
    const int64_t begin = part * step_;
    return matrix.narrow(dimension, begin, std::min(step_, size_ - begin));
  }

 private:
  // A smaller part costs more time to hand over than it saves (about 30 us of a core). A few parts
  // keep a few threads busy without packing the other matrix too often; large products have more.
  static constexpr double kSmallPart = 3e6;
  static constexpr double kFewParts = 4.0;
  static constexpr double kLargePart = 100e6;
  static constexpr int64_t kMostParts = 64;
  // Tiles of the library's products aren't cut.
  static constexpr int64_t kMultiple = 16;

  int64_t size_;
  int64_t step_;
};

double flops(int64_t rows, const torch::Tensor& weight) {
  return weight.defined() ? 2.0 * static_cast<double>(rows) * static_cast<double>(weight.numel())
                          : 0.0;
}

bool is_plain(const torch::Tensor& tensor) {
  return tensor.is_cpu() && tensor.scalar_type() == at::kFloat && tensor.layout() == at::kStrided;
}

/// Calls `work(part)` for each part, without autograd on any thread.
template <class Work>
void share_out_below_autograd(int64_t parts, Work work) {
  share_out(parts, [&](int64_t part) {
    const at::AutoDispatchBelowADInplaceOrView no_autograd;
    work(part);
  });
}

/// x . weight^T + bias
torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& weight,
                      const torch::Tensor& bias) {
  auto result = at::empty({x.size(0), weight.size(0)}, x.options());
  const auto transposed = weight.t();
  const Cut rows(x.size(0), flops(x.size(0), weight));
  share_out_below_autograd(rows.parts(), [&](int64_t part) {
    auto own = rows.of(result, 0, part);
    if (bias.defined()) {
      at::addmm_out(own, bias, rows.of(x, 0, part), transposed);
    } else {
      at::mm_out(own, rows.of(x, 0, part), transposed);
    }
  });
  return result;
}

/// gradient . weight
torch::Tensor input_gradient(const torch::Tensor& gradient, const torch::Tensor& weight) {
  auto result = at::empty({gradient.size(0), weight.size(1)}, gradient.options());
  const Cut rows(gradient.size(0), flops(gradient.size(0), weight));
  share_out_below_autograd(rows.parts(), [&](int64_t part) {
    auto own = rows.of(result, 0, part);
    at::mm_out(own, rows.of(gradient, 0, part), weight);
  });
  return result;
}

/// Writes gradient^T . x to `of_weight`, and the sums of gradient's columns to `of_bias`; leaves
/// out an undefined one.
void parameter_gradients(const torch::Tensor& gradient, const torch::Tensor& x,
                         torch::Tensor& of_weight, torch::Tensor& of_bias) {
  const auto transposed = gradient.t();
  const Cut columns(x.size(1), flops(x.size(0), of_weight));
  const int64_t products = of_weight.defined() ? columns.parts() : 0;
  share_out_below_autograd(products + (of_bias.defined() ? 1 : 0), [&](int64_t part) {
    if (part == products) {
      at::sum_out(of_bias, gradient, {0});
    } else {
      auto own = columns.of(of_weight, 1, part);
      at::mm_out(own, transposed, columns.of(x, 1, part));
    }
  });
}

class SharedLinear : public autograd::Function<SharedLinear> {
 public:
  static torch::Tensor forward(autograd::AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& weight,
                               const std::optional<torch::Tensor>& bias) {
    context->save_for_backward({x, weight});
    context->saved_data["has_bias"] = bias.has_value();
    return levin::forward(x, weight, bias.value_or(torch::Tensor()));
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
    if (needs_x) result[0] = input_gradient(gradient, weight);
    if (needs_weight) result[1] = at::empty_like(weight);
    if (needs_bias) result[2] = at::empty({weight.size(0)}, weight.options());
    parameter_gradients(gradient, x, result[1], result[2]);
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
  if (!fits || Cut(input.size(0), flops(input.size(0), weight)).parts() < 2) {
    return at::linear(input, weight, bias);
  }
  const bool has_graph =
      at::GradMode::is_enabled() &&
      (input.requires_grad() || weight.requires_grad() || (bias.defined() && bias.requires_grad()));
  if (!has_graph) return forward(input, weight, bias);
  return SharedLinear::apply(input, weight, bias.defined() ? std::optional(bias) : std::nullopt);
}

}  // namespace levin
