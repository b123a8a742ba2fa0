#pragma once

#include <cstdint>

#include <torch/types.h>

namespace levin {

// How loops go through the entries of a sparse CSR tensor on the CPU, whose indices are int32 or
// int64.

/// Throws DataError unless the row offsets of `csr` ascend from 0 to the number of entries, and all
/// columns are there. LibTorch checks this only if it is told to.
void require_entries_in_range(const torch::Tensor& csr);

namespace csr {

template <class Number, class Index, class Use, class Ahead>
void for_each_entry(const torch::Tensor& csr, Use use, Ahead ahead) {
  constexpr int64_t kAhead = 32;
  const auto offsets = csr.crow_indices().contiguous();
  const auto indices = csr.col_indices().contiguous();
  const auto values = csr.values().contiguous();
  const auto* own_offsets = offsets.const_data_ptr<Index>();
  const auto* columns = indices.const_data_ptr<Index>();
  const auto* numbers = values.const_data_ptr<Number>();
  const int64_t rows = csr.size(0);
  const int64_t entries = indices.size(0);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t end = own_offsets[row + 1];
    for (int64_t i = own_offsets[row]; i < end; ++i) {
      if (i + kAhead < entries) ahead(static_cast<int64_t>(columns[i + kAhead]));
      use(row, static_cast<int64_t>(columns[i]), numbers[i]);
    }
  }
}

}  // namespace csr

/// Calls `use(row, column, value)` for each entry of a CSR tensor of Numbers, row by row. Before
/// that, calls `ahead(column)` for a later entry, so that memory can be fetched.
template <class Number, class Use, class Ahead>
void for_each_entry(const torch::Tensor& csr, Use use, Ahead ahead) {
  if (csr.crow_indices().scalar_type() == at::kInt) {
    csr::for_each_entry<Number, int32_t>(csr, use, ahead);
  } else {
    csr::for_each_entry<Number, int64_t>(csr, use, ahead);
  }
}

}  // namespace levin
