#include <levin/framework/loops/input_scales.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include <ATen/core/grad_mode.h>
#include <c10/core/ScalarType.h>
#include <fmt/format.h>

namespace levin {
namespace {

constexpr double kUneven = 1e3;
constexpr int64_t kMostRows = 256;

/// The largest absolute value in each column; NaN in a column that has a NaN.
std::vector<float> largest_values(const kernels::RowView& rows) {
  std::vector<float> largest(static_cast<size_t>(rows.row_size), 0.0F);
  const auto* data = static_cast<const float*>(rows.data);
  for (int64_t i = 0; i < rows.count; ++i) {
    const float* row = data + (rows.numbers != nullptr ? rows.numbers[i] : i) * rows.row_size;
    for (size_t column = 0; column < largest.size(); ++column) {
      const float value = std::abs(row[column]);
      if (value > largest[column] || std::isnan(value)) largest[column] = value;
    }
  }
  return largest;
}

}  // namespace

std::string uneven_scales(const Rows& input) {
  if (!input.is_defined() || input.source().dim() != 2 || input.row_shape()[0] < 2) return {};
  const torch::Tensor& source = input.source();
  if (!c10::isFloatingType(source.scalar_type()) || source.layout() != at::kStrided) return {};
  Rows rows = input.narrow(0, std::min(input.size(), kMostRows));
  std::optional<kernels::RowView> view = rows.view();
  if (!view) {
    const at::NoGradGuard no_grad;
    rows = rows.tensor().detach().to(at::kCPU, at::kFloat).contiguous();
    view = rows.view();
  }
  if (!view) return {};
  const auto scales = largest_values(*view);
  std::optional<size_t> smallest;
  std::optional<size_t> largest;
  for (size_t i = 0; i < scales.size(); ++i) {
    if (!std::isfinite(scales[i]) || scales[i] == 0.0F) continue;
    if (!smallest || scales[i] < scales[*smallest]) smallest = i;
    if (!largest || scales[i] > scales[*largest]) largest = i;
  }
  if (!smallest) return {};
  const auto low = static_cast<double>(scales[*smallest]);
  const auto high = static_cast<double>(scales[*largest]);
  if (high <= kUneven * low) return {};
  return fmt::format(
      "the columns of the input differ in scale by orders of magnitude: in the first rows, the "
      "values of column {} are as large as {:.2g} in absolute value and those of column {} as "
      "large "
      "as {:.2g} (columns count from 0). Gradient descent learns little from the small ones. Bring "
      "every column to a mean of 0 and a standard deviation of 1, computed from the training rows "
      "and used for all rows",
      *largest, high, *smallest, low);
}

}  // namespace levin
