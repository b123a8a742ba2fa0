#include <levin/models/csr_entries.h>

#include <fmt/format.h>

#include <levin/framework/core/error.h>

namespace levin {
namespace {

template <class Index>
bool are_in_range(const torch::Tensor& csr) {
  const auto offsets = csr.crow_indices().contiguous();
  const auto indices = csr.col_indices().contiguous();
  const auto* own_offsets = offsets.const_data_ptr<Index>();
  const auto* columns = indices.const_data_ptr<Index>();
  const int64_t rows = csr.size(0);
  const int64_t entries = indices.size(0);
  bool fine = own_offsets[0] == 0 && own_offsets[rows] == entries;
  for (int64_t row = 0; row < rows; ++row) fine &= own_offsets[row] <= own_offsets[row + 1];
  const auto most = static_cast<Index>(csr.size(1) - 1);
  for (int64_t i = 0; i < entries; ++i) fine &= columns[i] >= 0 && columns[i] <= most;
  return fine;
}

}  // namespace

void require_entries_in_range(const torch::Tensor& csr) {
  const bool is_short = csr.crow_indices().scalar_type() == at::kInt;
  if (is_short ? are_in_range<int32_t>(csr) : are_in_range<int64_t>(csr)) return;
  throw DataError(fmt::format(
      "a sparse CSR tensor [{}, {}] has columns that it lacks, or row offsets that don't ascend "
      "from "
      "0 to its number of entries; make it by a TensorDataset, which names the row, or correct it",
      csr.size(0), csr.size(1)));
}

}  // namespace levin
