#include <levin/datamodules/standardization.h>

#include <algorithm>
#include <limits>

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <levin/datamodules/readers/bytes.h>
#include <levin/framework/core/error.h>

namespace levin {
namespace {

constexpr const char* kMean = "standardize.mean";
constexpr const char* kDeviation = "standardize.deviation";

/// How many rows of `x` are converted to float64 at a time: about 8 MB.
int64_t rows_a_part(const torch::Tensor& x) {
  const int64_t values = x.size(0) > 0 ? x.numel() / x.size(0) : 1;
  return std::max<int64_t>((int64_t{1} << 20) / std::max<int64_t>(values, 1), 1);
}

/// Calls `use` with the rows of those numbers, in parts, as float64.
template <class Use>
void for_each_part(const torch::Tensor& x, const std::vector<int64_t>& rows, const Use& use) {
  auto numbers = rows;  // from_blob takes no const memory
  const auto all = at::from_blob(numbers.data(), {static_cast<int64_t>(numbers.size())}, at::kLong);
  for (const auto& part : all.split(rows_a_part(x))) {
    use(x.index_select(0, part.to(x.device())).to(at::kDouble));
  }
}

}  // namespace

Standardization Standardization::of(const torch::Tensor& x, const std::vector<int64_t>& rows) {
  const at::NoGradGuard no_grad;
  const auto count = static_cast<double>(rows.size());
  auto mean = at::zeros(x.sizes().slice(1), x.options().dtype(at::kDouble));
  for_each_part(x, rows, [&](const torch::Tensor& part) { mean.add_(part.sum(0)); });
  mean.div_(count);
  auto variance = at::zeros_like(mean);
  for_each_part(x, rows,
                [&](const torch::Tensor& part) { variance.add_((part - mean).square_().sum(0)); });
  variance.div_(count);
  // Equal values may have a variance above 0, because their mean is rounded.
  constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
  const auto rounding = (mean * (count * kEpsilon)).square_() + variance * (count * kEpsilon);
  const auto deviation = at::where(variance.le(rounding), at::ones_like(variance), variance.sqrt());
  return {mean.cpu(), deviation.cpu()};
}

torch::Tensor Standardization::apply(const torch::Tensor& x, std::string_view name) const {
  if (x.sizes().slice(1) != deviation.sizes()) {
    throw DataError::bad_value(
        "the shape of a row", readers::shape_text(x.sizes().slice(1)), name,
        fmt::format("the training rows, by which features are standardised, have the shape {}",
                    readers::shape_text(deviation.sizes())));
  }
  const at::NoGradGuard no_grad;
  const auto type = x.is_floating_point() ? x.scalar_type() : at::kFloat;
  auto result = at::empty(x.sizes(), x.options().dtype(type));
  const auto own_mean = mean.defined() ? mean.to(x.device()) : torch::Tensor();
  const auto own_deviation = deviation.to(x.device());
  const int64_t rows = x.size(0);
  const int64_t step = rows_a_part(x);
  for (int64_t begin = 0; begin < rows; begin += step) {
    const int64_t count = std::min(step, rows - begin);
    auto part = x.narrow(0, begin, count).to(at::kDouble);
    if (own_mean.defined()) part = part - own_mean;
    result.narrow(0, begin, count).copy_(part / own_deviation);
  }
  return result;
}

bool Standardization::operator==(const Standardization& other) const {
  const auto same = [](const torch::Tensor& a, const torch::Tensor& b) {
    if (!a.defined() || !b.defined()) return a.defined() == b.defined();
    return a.sizes() == b.sizes() && a.equal(b);
  };
  return same(mean, other.mean) && same(deviation, other.deviation);
}

void Standardization::save(StateDict& state) const {
  if (mean.defined()) state.tensors.emplace(kMean, mean);
  state.tensors.emplace(kDeviation, deviation);
}

std::optional<Standardization> Standardization::load(const StateDict& state) {
  const auto found_mean = state.tensors.find(kMean);
  const auto found_deviation = state.tensors.find(kDeviation);
  if (found_deviation == state.tensors.end()) return {};
  const bool has_mean = found_mean != state.tensors.end();
  return Standardization{has_mean ? found_mean->second.cpu().clone() : torch::Tensor(),
                         found_deviation->second.cpu().clone()};
}

void require_standardized(const std::optional<Standardization>& taken, bool standardize) {
  if (taken || !standardize) return;
  throw ConfigError::conflict(
      "the model was trained on features that weren't standardised, but here standardize = true",
      "set standardize = false, so that features have the same meaning");
}

}  // namespace levin
