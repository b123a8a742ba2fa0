#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <levin/datamodules/readers/sparse_rows.h>
#include <levin/framework/data/batch.h>

/// How `readers::SparseRows` become rows of data sets and batches. For authors of data modules;
/// users of files take SparseDataModule.
namespace levin {

/// What targets become, and which tensors there are.
struct SparseLayout {
  /// Of a row.
  int64_t columns = 0;
  bool has_target = true;
  /// Whether targets are classes, int64; else they are values, float32.
  bool classes = true;
  /// Whether the class -1 is class 0.
  bool signs = false;
  /// Whether there are weights of rows; those of rows without one are 1.
  bool has_weight = false;
};

/// Returns rows as the entries {"input", "target", "weight"} of a data set. They lie in the memory
/// of `rows`, which they keep; only classes are copied. The input is sealed.
NamedRows named_rows(std::shared_ptr<readers::SparseRows> rows, const SparseLayout& layout);

/// Consecutive rows, at least one, from row `first` of `rows` on.
struct SparseRange {
  const readers::SparseRows* rows = nullptr;
  int64_t first = 0;
  int64_t count = 0;
};

/// Copies the rows of `ranges`, one after another, into the batch `out`, whose memory is used
/// again. Where rows are consecutive, their entries are copied together. Allocates nothing for a
/// batch that isn't larger than those before it.
void fill_batch(std::span<const SparseRange> ranges, const SparseLayout& layout, Batch& out);

/// Memory for sparse rows to be written, as `fill_batch` does: `entries` in `rows`. That of `old`
/// is used again if nobody else holds it. `values` is null if they are all 1.
struct SparseRoom {
  SparseRoom(Rows old, int64_t rows, int64_t entries, bool has_values);
  /// The rows, once everything was written; `columns` is their number of columns.
  Rows finish(int64_t columns);

  int64_t* offsets = nullptr;  // [rows + 1]
  int32_t* indices = nullptr;  // [entries]
  float* values = nullptr;     // [entries] or null
  torch::Tensor tensors[3] = {};
};

}  // namespace levin
