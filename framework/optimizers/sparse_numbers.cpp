#include <levin/framework/optimizers/sparse_numbers.h>

namespace levin {
namespace {

/// Whether the columns of `indices` [1 or 2, entries], which name places, ascend strictly.
bool are_ascending(const torch::Tensor& indices) {
  const int64_t count = indices.size(1);
  const auto* first = indices.const_data_ptr<int64_t>();
  const auto* last = first + (indices.size(0) - 1) * count;
  bool fine = true;
  for (int64_t i = 1; i < count; ++i) {
    fine &= first[i - 1] < first[i] || (first[i - 1] == first[i] && last[i - 1] < last[i]);
  }
  return fine;
}

}  // namespace

torch::Tensor coalesced(const torch::Tensor& gradient) {
  if (gradient.is_coalesced()) return gradient;
  const auto indices = gradient._indices();
  const bool is_simple =
      indices.is_cpu() && indices.is_contiguous() && indices.size(0) >= 1 && indices.size(0) <= 2;
  if (!is_simple || !are_ascending(indices)) return gradient.coalesce();
  return gradient._coalesced_(true);
}

bool has_single_numbers(const torch::Tensor& parameter, const torch::Tensor& gradient) {
  if (!gradient.is_sparse() || !gradient.is_cpu() || !parameter.is_cpu()) return false;
  const auto type = parameter.scalar_type();
  return (type == at::kFloat || type == at::kDouble) && gradient.scalar_type() == type &&
         gradient.sizes() == parameter.sizes() && parameter.is_contiguous() &&
         gradient.dense_dim() == 0 && gradient.dim() >= 1 && gradient.dim() <= 2;
}

}  // namespace levin
