#include <levin/models/dense_products.h>

#include <string_view>

#include <ATen/core/List.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>

namespace levin {
namespace {

// Smaller products are too short for what a call of oneDNN costs.
constexpr double kFewFlops = 4e6;

// LibTorch's own operation for a layer, which its compiler (Inductor) calls, too.
using LinearPointwise = at::Tensor(const at::Tensor&, const at::Tensor&,
                                   const std::optional<at::Tensor>&, std::string_view,
                                   c10::List<std::optional<at::Scalar>>,
                                   std::optional<std::string_view>);

/// Nothing if this LibTorch doesn't have the operation, or has another one of its name.
std::optional<c10::TypedOperatorHandle<LinearPointwise>> find_linear_pointwise() {
  const auto found = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
  if (!found || !found->hasKernelForDispatchKey(c10::DispatchKey::CPU)) return std::nullopt;
  try {
    return found->typed<LinearPointwise>();
  } catch (const c10::Error&) {
    return std::nullopt;
  }
}

/// Rows or columns that follow each other: for others, oneDNN may have only slow reference code.
torch::Tensor packed(const torch::Tensor& matrix) {
  return matrix.t().is_contiguous() ? matrix : matrix.contiguous();
}

#if defined(__x86_64__)
bool is_made_by_intel() { return __builtin_cpu_is("intel") != 0; }
bool supports_avx512() { return __builtin_cpu_supports("avx512f") != 0; }
#else
bool is_made_by_intel() { return false; }
bool supports_avx512() { return false; }
#endif

}  // namespace

bool is_for_onednn(bool is_intel, bool has_avx512, double flops) {
  return has_avx512 && !is_intel && flops >= kFewFlops;
}

std::optional<torch::Tensor> product_by_onednn(const torch::Tensor& a, const torch::Tensor& b,
                                               const torch::Tensor& bias) {
  static const auto linear = find_linear_pointwise();
  if (!linear) return std::nullopt;
  const auto given_bias = bias.defined() ? std::optional(bias) : std::nullopt;
  return linear->call(packed(a), packed(b).t(), given_bias, "none",
                      c10::List<std::optional<at::Scalar>>(), "");
}

void multiply(torch::Tensor& out, const torch::Tensor& a, const torch::Tensor& b,
              const torch::Tensor& bias) {
  const double flops = 2.0 * static_cast<double>(a.numel()) * static_cast<double>(b.size(1));
  if (is_for_onednn(is_made_by_intel(), supports_avx512(), flops)) {
    if (const auto product = product_by_onednn(a, b, bias)) {
      out.copy_(*product);
      return;
    }
  }
  if (bias.defined()) {
    at::addmm_out(out, bias, a, b);
  } else {
    at::mm_out(out, a, b);
  }
}

}  // namespace levin
