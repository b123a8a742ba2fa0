#pragma once

#include <cstdint>

namespace levin::kernels {

/// Sparse rows in memory, to be read in place: `count` rows of `row_size` numbers each, of which
/// only those that aren't 0 are stored (compressed sparse rows, CSR). It doesn't own the memory,
/// which must exist as long as the view is used.
struct SparseView {
  /// Row i of the view has the entries offsets[r] to offsets[r + 1] - 1, where r is numbers[i], or
  /// i if `numbers` is null.
  const int64_t* offsets = nullptr;
  /// The column of each entry, in [0, row_size). Within a row they ascend strictly. SparseOutput
  /// and SparseGradient also take them in any order, as long as none occurs twice in a row.
  const int32_t* indices = nullptr;
  /// The value of each entry, or null if all are 1.
  const float* values = nullptr;
  const int64_t* numbers = nullptr;
  int64_t count = 0;
  int64_t row_size = 0;

  /// `new_count` of the rows from row `first` on.
  SparseView narrow(int64_t first, int64_t new_count) const {
    SparseView part = *this;
    numbers != nullptr ? part.numbers += first : part.offsets += first;
    part.count = new_count;
    return part;
  }
};

/// The product of sparse rows and a matrix: out = rows . weight + bias. `Number` is float or
/// double.
template <class Number>
struct SparseOutput {
  SparseView rows;
  /// [row_size, stride], of which the first `outputs` columns count: a row for each feature, so
  /// that the numbers that an entry is multiplied by lie side by side. The columns behind them must
  /// be finite. `stride` is 1 for a single output, else padded_classes(outputs).
  const Number* weight = nullptr;
  /// [outputs] or null.
  const Number* bias = nullptr;
  int64_t outputs = 0;
  int64_t stride = 0;
  /// [count, stride], of which all columns are written, those behind the outputs with anything.
  Number* out = nullptr;
};

/// The gradient of such a product with respect to its matrix.
template <class Number>
struct SparseGradient {
  SparseView rows;
  /// That of the product: [count, stride]. The columns behind the outputs must be finite.
  const Number* gradient = nullptr;
  int64_t outputs = 0;
  int64_t stride = 0;
  /// rows^T . gradient is added to the first, [row_size, stride], whose columns behind the outputs
  /// get anything; the sums of the gradient's columns to the second, [outputs] or null.
  Number* weight_gradient = nullptr;
  Number* bias_gradient = nullptr;
};

}  // namespace levin::kernels
