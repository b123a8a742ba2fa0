#include <levin/framework/solvers/column_ranks.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include <ATen/Functions.h>

#include <levin/framework/tensor/buffer.h>
#include <levin/framework/threads/shared_work.h>

namespace levin {

ColumnRanks::ColumnRanks(int64_t features) : counts_(static_cast<size_t>(features)) {}

bool ColumnRanks::pay(const Rows& like, int64_t entries) {
  // The numbers of fewer columns stay in the second-level cache, wherever they lie.
  constexpr int64_t kFeatures = 1 << 16;
  constexpr int64_t kMostEntries = int64_t{1} << 28;  // 1 GiB of indices
  if (!like.is_defined() || !like.is_sparse()) return false;
  const int64_t features = like.row_shape()[0];
  return features > kFeatures && entries >= features && entries <= kMostEntries;
}

void ColumnRanks::count(const Rows& rows) {
  constexpr int64_t kEvery = 8;  // so many rows are as good as all for telling what is frequent
  constexpr uint16_t kMost = std::numeric_limits<uint16_t>::max();
  const auto view = rows.sparse_view().value();
  for (int64_t i = 0; i < view.count; i += kEvery) {
    const int64_t row = view.numbers != nullptr ? view.numbers[i] : i;
    for (int64_t k = view.offsets[row]; k < view.offsets[row + 1]; ++k) {
      uint16_t& count = counts_[static_cast<size_t>(view.indices[k])];
      if (count < kMost) ++count;
    }
  }
}

/// Sorts by counting. Columns that occur equally often keep their order.
void ColumnRanks::rank() {
  const size_t most = counts_.empty() ? 0 : *std::max_element(counts_.begin(), counts_.end());
  std::vector<int32_t> places(most + 2);  // where columns of each count go, the largest one first
  for (const uint16_t count : counts_) ++places[most - count + 1];
  std::partial_sum(places.begin(), places.end(), places.begin());
  columns_.resize(counts_.size());
  ranks_.resize(counts_.size());
  for (size_t column = 0; column < counts_.size(); ++column) {
    const int32_t place = places[most - counts_[column]]++;
    columns_[static_cast<size_t>(place)] = static_cast<int32_t>(column);
    ranks_[column] = place;
  }
  counts_ = {};
}

Rows ColumnRanks::renumbered(const Rows& rows) const {
  constexpr int64_t kEntriesAPart = 1 << 20;
  const Rows whole = rows.is_whole() ? rows : rows.together(/*pinned=*/false);
  const int64_t entries = whole.indices().numel();
  const auto indices = empty_in_huge_pages({entries}, at::kInt);
  const int32_t* from = whole.indices().const_data_ptr<int32_t>();
  auto* to = indices.mutable_data_ptr<int32_t>();
  share_out((entries + kEntriesAPart - 1) / kEntriesAPart, [&](int64_t part) {
    const int64_t end = std::min(entries, (part + 1) * kEntriesAPart);
    for (int64_t k = part * kEntriesAPart; k < end; ++k) {
      to[k] = ranks_[static_cast<size_t>(from[k])];
    }
  });
  return Rows::sparse(whole.source(), indices, whole.values(), whole.row_shape()[0]);
}

torch::Tensor ColumnRanks::sorted(const torch::Tensor& numbers) const {
  const auto given = numbers.contiguous();
  auto result = empty_in_huge_pages(given.sizes(), at::kDouble);
  const auto features = static_cast<int64_t>(columns_.size());
  for (int64_t k = 0; k < given.size(0); ++k) {
    const double* from = given.const_data_ptr<double>() + k * features;
    double* to = result.mutable_data_ptr<double>() + k * features;
    for (int64_t r = 0; r < features; ++r) to[r] = from[columns_[static_cast<size_t>(r)]];
  }
  return result;
}

}  // namespace levin
