#pragma once

#include <levin/framework/kernels/cpu/kernels.h>
#include <levin/framework/kernels/cpu/sparse.h>
#include <levin/framework/tensor/tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace levin {

/// What the bytes of a uint8 tensor stand for: (byte - zero_point) * scale, as float32.
struct ByteScale {
  float scale = 1.0F / 255.0F;
  float zero_point = 0.0F;

  bool operator==(const ByteScale&) const = default;
};

/// The rows of one tensor of a data set or batch. They are dense, that is a tensor [size, ...] of
/// their own; or chosen rows of another tensor, in a given order, which stay in place until
/// somebody gathers them; or compressed sparse rows (CSR), all of them or chosen ones. A kernel can
/// read all kinds where they lie (`view`, `sparse_view`).
///
///     Rows images(bytes, {.scale = 1.0F / 255.0F});      // a data set: [60000, 784] uint8
///     Rows batch;
///     images.select(numbers, batch);                     // no copy: batch.view() reads in place
///     images.gather(numbers, batch);                     // a copy: batch.tensor() is float32
///
///     Rows words = Rows::sparse(offsets, indices, counts, 1 << 20);  // [rows, 2^20]
///     words.gather(numbers, batch);                     // copies the entries of these rows
///     batch.tensor();                                   // a sparse CSR tensor of LibTorch
///
/// No const member function changes the rows or their memory. Copies share tensors.
class Rows {
 public:
  /// No rows, and no tensor: `is_defined` is false.
  Rows() = default;
  /// All rows of `tensor` [rows, ...], dense. A sparse CSR tensor [rows, columns] of float32
  /// numbers, without a graph, becomes sparse rows: its values are shared, and its indices, too, if
  /// they are int32. Throws DataError for int64 indices outside [0, columns).
  Rows(torch::Tensor tensor) : source_(std::move(tensor)) {  // NOLINT
    if (source_.defined() && source_.layout() == at::kSparseCsr) take_apart();
  }
  /// All rows of a uint8 tensor [rows, ...] whose bytes stand for float32 numbers. They are not
  /// dense: `tensor` and `gather` convert the bytes.
  Rows(torch::Tensor bytes, ByteScale scale) : source_(std::move(bytes)), scale_(scale) {}

  /// Sparse rows of `columns` float32 numbers each. Row i has the entries offsets[i] to
  /// offsets[i + 1] - 1; the numbers of all other columns are 0. `offsets`: int64 [rows + 1], from
  /// 0 to the number of entries. `indices`: int32 [entries], the column of each entry. `values`:
  /// float32 [entries], or undefined if all are 1. They are shared, on one device, contiguous.
  /// Throws DataError for other types and shapes. What the tensors hold isn't looked at here; a
  /// TensorDataset does that (`require_valid_entries` in sparse_rows.h).
  static Rows sparse(torch::Tensor offsets, torch::Tensor indices, torch::Tensor values,
                     int64_t columns);

  bool is_defined() const { return source_.defined(); }
  /// Whether the rows are a tensor of their own, so that `tensor` copies nothing.
  bool is_dense() const { return !is_selection_ && !scale_ && !is_sparse(); }
  bool is_sparse() const { return indices_.defined(); }
  /// Whether the rows are all those of `source`, in their order: they are dense, bytes with a
  /// scale, or sparse, and haven't been selected.
  bool is_whole() const { return !is_selection_; }
  /// The number of rows; 0 if there is no tensor, or one without dimensions.
  int64_t size() const {
    if (device_numbers_.defined()) return device_numbers_.sizes()[0];
    if (is_selection_) return static_cast<int64_t>(numbers_.size());
    if (!source_.defined() || source_.dim() == 0) return 0;
    return source_.sizes()[0] - (is_sparse() ? 1 : 0);
  }
  /// The type and shape of the rows as `tensor` gives them; the shape is that of one row, [columns]
  /// if they are sparse, and valid as long as these rows are.
  at::ScalarType dtype() const {
    return scale_ || is_sparse() ? at::kFloat : source_.scalar_type();
  }
  at::IntArrayRef row_shape() const {
    return is_sparse() ? at::IntArrayRef(columns_) : source_.sizes().slice(1);
  }
  /// Bytes of the rows as `tensor` gives them. If they are sparse, 8 for each entry and row.
  size_t nbytes() const;
  /// The entries of sparse rows; 0 of others.
  int64_t num_entries() const;
  /// The tensor that the rows lie in: `tensor` itself if they are dense; else one that may have
  /// more rows, and bytes instead of numbers. Of sparse rows, their offsets.
  const torch::Tensor& source() const { return source_; }
  /// What else sparse rows lie in: the columns and the values of the entries, also those of rows
  /// that aren't chosen. `values` is undefined if all are 1.
  const torch::Tensor& indices() const { return indices_; }
  const torch::Tensor& values() const { return values_; }
  /// All tensors that the rows lie in: `source`, and of sparse rows the others.
  std::vector<torch::Tensor> memory() const;
  /// What the bytes of `source` stand for; nothing if they are what they are.
  const std::optional<ByteScale>& scale() const { return scale_; }

  /// The rows as a tensor [size, ...]. Costs nothing if they are dense; else each call gathers them
  /// into new memory. Sparse rows become a sparse CSR tensor, never a dense one (see `to_dense` in
  /// sparse_rows.h); it shares their values and indices unless rows were chosen. Undefined if there
  /// is none.
  torch::Tensor tensor() const;
  /// Where the rows lie in the memory of this process, to be read by a kernel while these rows
  /// exist. Nothing if no kernel can read them in place: they are on a device, not contiguous,
  /// neither float32 nor scaled bytes, or take part in a graph of gradients.
  std::optional<kernels::RowView> view() const;
  /// The same for rows on a CUDA device: a view whose pointers are to the device's memory, for
  /// kernels there. Nothing if the rows lie elsewhere.
  std::optional<kernels::RowView> device_view() const;
  /// Where sparse rows lie in the memory of this process, to be read by a kernel while these rows
  /// exist. Nothing if they are of another kind or on a device.
  std::optional<kernels::SparseView> sparse_view() const;

  /// Copies the rows with the given numbers, in that order, into `out`, which must be another
  /// object. The memory of `out` is used again if it fits and nobody else uses it. Each number must
  /// be in [0, size), which isn't checked here. Plain CPU memory is copied on the calling thread
  /// alone. Sparse rows can only be chosen where they lie on the CPU; DataError otherwise.
  void gather(std::span<const int64_t> numbers, Rows& out) const;
  /// The same without a copy: `out` refers to the tensor that these rows lie in.
  void select(std::span<const int64_t> numbers, Rows& out) const;
  /// The same for row numbers that lie on the device of the rows, int64 [size]. They are shared,
  /// not copied, so the selection changes with them. These rows must not be a selection themselves.
  void select(torch::Tensor numbers, Rows& out) const;
  /// Tells which rows of `source` will be read after this selection, so that a kernel that reads
  /// them in place fetches them ahead (`RowView::next_numbers`). Forgotten with the next `select`
  /// into this object.
  void announce(std::span<const int64_t> next_numbers) {
    next_numbers_.assign(next_numbers.begin(), next_numbers.end());
  }
  /// Copies the rows into `to`, [size, ...], a contiguous tensor of type `dtype` on the device of
  /// the rows. Nothing is allocated if they are float32 numbers or bytes on a CUDA device. Sparse
  /// rows are written with their zeros.
  void copy_to(const torch::Tensor& to) const;

  /// `count` of the rows from row `first` on; shares the memory, but for the offsets of sparse
  /// rows.
  Rows narrow(int64_t first, int64_t count) const;
  /// The rows on `device`; asynchronous from pinned memory if `non_blocking`. Rows that are there
  /// already are shared and stay in place; of others, chosen ones are copied together first. Bytes
  /// stay bytes on the way: a quarter of the numbers' memory, which the device makes of them.
  Rows to(at::Device device, bool non_blocking = true) const;
  /// The rows in memory of their own, page-locked if `pinned`, for copies to a device. Bytes with a
  /// scale stay bytes. Shares the memory if there is nothing to do.
  Rows together(bool pinned) const;
  /// The same for fast copies to a CUDA device; nothing changes if LibTorch knows no CUDA.
  Rows pin_memory() const;

  /// Rows of the same number, shape, type and scale in memory of their own, which isn't written.
  /// Sparse ones have the same offsets and indices.
  Rows like() const;

  /// Makes these rows dense, `size` of `row_shape` and `dtype` on the CPU, and returns the tensor
  /// for its values to be written. Uses the memory of these rows again if it fits and nobody else
  /// uses it; what was in them is lost.
  const torch::Tensor& allocate(int64_t size, at::IntArrayRef row_shape, at::ScalarType dtype);
  /// Becomes empty unless these rows are tensors that nobody else uses. The memory of what is left
  /// may be written again.
  void drop_shared();
  /// Promises that the tensor's layout and `requires_grad` don't change any more. Later calls of
  /// `gather` and `view`, also those of rows selected from these, then needn't examine it again. Of
  /// sparse rows, also promises that `require_valid_entries` found nothing wrong. A data set calls
  /// this for its own tensors.
  void seal();
  bool is_sealed() const { return is_sealed_plain_; }

 private:
  bool is_plain() const;
  std::optional<kernels::RowView> described() const;
  torch::Tensor chosen(const torch::Tensor& numbers) const;
  torch::Tensor copied_slice(int64_t first, int64_t count) const;
  // Becomes a selection of what `of` has; which rows has yet to be said.
  void begin_selection(const Rows& of);
  // Becomes a copy of those rows of `from.source_`.
  void copy(const Rows& from, std::span<const int64_t> numbers);

  // What sparse rows do (sparse_rows.cpp). `write_sparse` expects memory of the right size.
  void take_apart();
  torch::Tensor sparse_tensor() const;
  int64_t count_entries(std::span<const int64_t> numbers) const;
  void copy_sparse(const Rows& from, std::span<const int64_t> numbers);
  void write_sparse(const Rows& from, std::span<const int64_t> numbers);
  Rows narrow_sparse(int64_t first, int64_t count) const;
  Rows sparse_together(bool pinned) const;
  void require_on_host() const;

  torch::Tensor source_;   // of sparse rows: the offsets, from 0 to the number of indices
  torch::Tensor indices_;  // of sparse rows alone
  torch::Tensor values_;
  int64_t columns_ = 0;
  std::optional<ByteScale> scale_;
  bool is_selection_ = false;
  bool is_sealed_plain_ = false;       // source_ is sealed, and plain memory
  std::vector<int64_t> numbers_;       // of a selection: its rows of source_
  std::vector<int64_t> next_numbers_;  // of a selection: the rows that will be read after it
  torch::Tensor device_numbers_;  // the same on the device of source_; then numbers_ may be empty
};

/// Rows by name, in the order they were added: what a batch and a data set hold.
using NamedRows = std::vector<std::pair<std::string, Rows>>;

}  // namespace levin
