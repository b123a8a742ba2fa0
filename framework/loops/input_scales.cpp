#include <levin/framework/loops/input_scales.h>

#include <cmath>

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

namespace levin {
namespace {

constexpr double kUneven = 1e3;

}  // namespace

std::string uneven_scales(const torch::Tensor& input) {
  if (!input.defined() || input.dim() != 2 || !input.is_floating_point()) return {};
  if (input.size(0) == 0 || input.size(1) < 2) return {};
  const at::NoGradGuard no_grad;
  const auto scales = input.detach().to(at::kDouble).abs().amax({0}).cpu().contiguous();
  const double* scale = scales.const_data_ptr<double>();
  int64_t smallest = -1;
  int64_t largest = -1;
  for (int64_t i = 0; i < scales.numel(); ++i) {
    if (!std::isfinite(scale[i]) || scale[i] == 0.0) continue;
    if (smallest < 0 || scale[i] < scale[smallest]) smallest = i;
    if (largest < 0 || scale[i] > scale[largest]) largest = i;
  }
  if (smallest < 0 || scale[largest] <= kUneven * scale[smallest]) return {};
  return fmt::format(
      "the columns of the input differ in scale by orders of magnitude: in the first batch, the "
      "values of column {} go up to {:.2g} and those of column {} up to {:.2g} (columns count from "
      "0). Gradient descent learns little from the small ones. Bring every column to a mean of 0 "
      "and a standard deviation of 1, with the numbers of the training rows for all rows",
      largest, scale[largest], smallest, scale[smallest]);
}

}  // namespace levin
