#pragma once

#include <cstdint>

#include <levin/framework/kernels/cpu/sparse.h>

/// The kernels for sparse rows on NVIDIA GPUs. As everything in kernels.h, they are plain functions
/// that enqueue their work on `stream` and return; all pointers are to memory of the device, and
/// nothing is checked. Rows are all those that are stored, in their order (`numbers` is null), and
/// begin at entry 0. The same call gives the same bits, except where a sum is made by atomic
/// additions, which is said there.
///
/// Start here: `sparse_regression` is a training step of a linear classifier but for the update;
/// `sparse_product`, `sparse_scatter` and `sparse_sums` are its parts, for other models.
///
/// Each function has a twin, `..._on_cpu`, which does the same with pointers to the memory of the
/// host, by loops in the place of threads. Sums have the order of the kernel's, so that results
/// have its bits, unless they are made by atomic additions or go through exp and log.
namespace levin::kernels::cuda {

/// out = rows . weight^T + bias.
struct SparseProduct {
  SparseView rows;
  /// Of all rows; it decides how many threads share a row.
  int64_t entries = 0;
  /// [outputs, row_size], as a linear layer has it.
  const float* weight = nullptr;
  /// [outputs] or null.
  const float* bias = nullptr;
  /// At most kMostOutputs, as everywhere here.
  int64_t outputs = 0;
  /// [count, outputs]
  float* out = nullptr;
};
void sparse_product(const SparseProduct& product, void* stream);
void sparse_product_on_cpu(const SparseProduct& product);

/// weight_gradient += derivatives^T . rows, by an atomic addition for each entry and output, in no
/// order, so that the bits differ from run to run. See `sparse_sums` for the same bits.
struct SparseScatter {
  SparseView rows;
  int64_t entries = 0;
  /// [count, outputs], those of the rows' outputs.
  const float* derivatives = nullptr;
  int64_t outputs = 0;
  /// [outputs, row_size]
  float* weight_gradient = nullptr;
};
void sparse_scatter(const SparseScatter& scatter, void* stream);
void sparse_scatter_on_cpu(const SparseScatter& scatter);

/// The same sums in an order that is always the same: the entries are given in the order of the
/// places that they are summed at, and neighbours of the same place are added up.
struct SparseSums {
  SparseView rows;
  int64_t entries = 0;
  const float* derivatives = nullptr;
  int64_t outputs = 0;
  /// [entries], ascending: where the number of the i-th entry in this order goes, such as its
  /// column; and which entry that is, numbered through all rows.
  const int32_t* places = nullptr;
  const int64_t* order = nullptr;
  /// [outputs, width], of which the places that occur are written and the others stay.
  float* sums = nullptr;
  int64_t width = 0;
  /// Room for `scratch_size(*this)` floats.
  float* scratch = nullptr;
};
void sparse_sums(const SparseSums& sums, void* stream);
void sparse_sums_on_cpu(const SparseSums& sums);

/// The mean cross-entropy of a linear classifier, and its derivatives, in one pass over the rows:
/// with one output, the logistic loss of two classes, else the softmax of `outputs` classes.
struct SparseRegression {
  SparseView rows;
  int64_t entries = 0;
  /// [count], from 0 on, below 2 for a single output.
  const int64_t* labels = nullptr;
  const float* weight = nullptr;
  const float* bias = nullptr;
  /// At most kMostClasses (kernels.h).
  int64_t outputs = 0;
  /// [count, outputs]: the derivatives of the mean loss by the outputs, for `sparse_sums`.
  float* derivatives = nullptr;
  /// [outputs, row_size], which is added to as by `sparse_scatter`; or null, for the same bits.
  float* weight_gradient = nullptr;
  /// [outputs] or null; it is written.
  float* bias_gradient = nullptr;
  /// [1]
  float* loss = nullptr;
  /// Room for `scratch_size(*this)` floats.
  float* scratch = nullptr;
};
inline int64_t scratch_size(const SparseRegression& pass) { return pass.rows.count; }
void sparse_regression(const SparseRegression& pass, void* stream);
void sparse_regression_on_cpu(const SparseRegression& pass);

/// A step of SGD or Adagrad that changes the entries that a sparse gradient has, and no others:
/// parameter -= rate * g, by atomic additions; or, if `squares` isn't null, squares += g^2 and
/// parameter -= rate * g / (sqrt(squares) + eps), for which each place may occur only once.
struct SparseStep {
  float* parameter = nullptr;
  float* squares = nullptr;
  /// [count]: the row and the column of each entry in the parameter [.., row_size]; `rows` is null
  /// if it has a single row.
  const int64_t* rows = nullptr;
  const int64_t* columns = nullptr;
  const float* gradient = nullptr;
  int64_t count = 0;
  int64_t row_size = 0;
  double rate = 0.0;
  double eps = 0.0;
};
void sparse_step(const SparseStep& step, void* stream);
void sparse_step_on_cpu(const SparseStep& step);

/// What the grid of a kernel can be shared by.
constexpr int64_t kMostOutputs = 65'535;

/// How many threads of a warp share a row. Eight read the columns of eight entries, 32 bytes, which
/// is what the memory gives at a time; a whole warp is worth it for long rows only, because of the
/// threads that have nothing to do at the end of a row.
constexpr int64_t lanes_of_row(int64_t entries, int64_t count) {
  constexpr int64_t kLongRow = 128;
  return entries > kLongRow * count ? 32 : 8;
}

/// The entries that a warp of `sparse_sums` adds up: steps of a warp's width.
constexpr int64_t kWarpSize = 32;
constexpr int64_t kStepsOfTile = 4;
constexpr int64_t kEntriesOfTile = kStepsOfTile * kWarpSize;
inline int64_t scratch_size(const SparseSums& sums) {
  const int64_t tiles = (sums.entries + kEntriesOfTile - 1) / kEntriesOfTile;
  return sums.entries + 2 * sums.outputs * tiles;
}

}  // namespace levin::kernels::cuda
