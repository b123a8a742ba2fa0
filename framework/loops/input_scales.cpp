#include <levin/framework/loops/input_scales.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include <ATen/core/grad_mode.h>
#include <c10/core/ScalarType.h>
#include <fmt/format.h>

namespace levin {
namespace {

constexpr double kUneven = 1e3;
constexpr int64_t kMostRows = 256;

/// A column and the largest absolute value in it; NaN if it has a NaN.
using Scale = std::pair<int64_t, float>;

void keep_largest(float& largest, float number) {
  const float value = std::abs(number);
  if (value > largest || std::isnan(value)) largest = value;
}

std::vector<Scale> largest_values(const kernels::RowView& rows) {
  std::vector<Scale> largest(static_cast<size_t>(rows.row_size), Scale{0, 0.0F});
  const auto* data = static_cast<const float*>(rows.data);
  for (int64_t i = 0; i < rows.count; ++i) {
    const float* row = data + (rows.numbers != nullptr ? rows.numbers[i] : i) * rows.row_size;
    for (size_t column = 0; column < largest.size(); ++column) {
      keep_largest(largest[column].second, row[column]);
    }
  }
  for (size_t i = 0; i < largest.size(); ++i) largest[i].first = static_cast<int64_t>(i);
  return largest;
}

/// The same of the columns that have entries.
std::vector<Scale> largest_values(const kernels::SparseView& rows) {
  std::map<int64_t, float> largest;
  for (int64_t i = 0; i < rows.count; ++i) {
    const int64_t row = rows.numbers != nullptr ? rows.numbers[i] : i;
    for (int64_t j = rows.offsets[row]; j < rows.offsets[row + 1]; ++j) {
      keep_largest(largest[rows.indices[j]], rows.values != nullptr ? rows.values[j] : 1.0F);
    }
  }
  return {largest.begin(), largest.end()};
}

std::vector<Scale> scales_of(const Rows& input) {
  Rows rows = input.narrow(0, std::min(input.size(), kMostRows));
  if (rows.is_sparse()) {
    rows = rows.to(at::kCPU);
    return largest_values(*rows.sparse_view());
  }
  std::optional<kernels::RowView> view = rows.view();
  if (!view) {
    const at::NoGradGuard no_grad;
    rows = rows.tensor().detach().to(at::kCPU, at::kFloat).contiguous();
    view = rows.view();
  }
  return view ? largest_values(*view) : std::vector<Scale>();
}

}  // namespace

std::string uneven_scales(const Rows& input) {
  if (!input.is_defined() || input.source().dim() == 0) return {};
  if (input.row_shape().size() != 1 || input.row_shape()[0] < 2) return {};
  const torch::Tensor& source = input.source();
  const bool has_numbers =
      c10::isFloatingType(source.scalar_type()) && source.layout() == at::kStrided;
  if (!input.is_sparse() && !has_numbers) return {};
  std::optional<Scale> smallest;
  std::optional<Scale> largest;
  for (const auto& scale : scales_of(input)) {
    if (!std::isfinite(scale.second) || scale.second == 0.0F) continue;
    if (!smallest || scale.second < smallest->second) smallest = scale;
    if (!largest || scale.second > largest->second) largest = scale;
  }
  if (!smallest) return {};
  const auto low = static_cast<double>(smallest->second);
  const auto high = static_cast<double>(largest->second);
  if (high <= kUneven * low) return {};
  const char* const remedy =
      input.is_sparse()
          ? "Divide every column by the largest absolute value that it has in the training rows, "
            "which keeps the zeros"
          : "Bring every column to a mean of 0 and a standard deviation of 1, computed from the "
            "training rows and used for all rows";
  return fmt::format(
      "the columns of the input differ in scale by orders of magnitude: in the first rows, the "
      "values of column {} are as large as {:.2g} in absolute value and those of column {} as "
      "large as {:.2g} (columns count from 0). Gradient descent learns little from the small ones. "
      "{}",
      largest->first, high, smallest->first, low, remedy);
}

}  // namespace levin
