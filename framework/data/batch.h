#pragma once

#include <levin/framework/data/gather.h>
#include <levin/framework/tensor/tensor.h>

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace levin {

/// Where the rows of a tensor lie, for whoever reads them in place instead of a copy.
struct RowView {
  RowSource source;
  /// Which rows of the source, in order; empty where they are all of them.
  std::span<const int64_t> rows;
};

/// What a step gets: named tensors that share their first size, the rows.
///
/// Rows of a data set in memory are gathered into a tensor when somebody first asks for it; a
/// kernel that reads them where they are needs no copy (`input_view`). By convention the first
/// tensor is the input and the one named "target" the target; `weight` is an optional weight a row.
/// Batches move cheaply; copies share the tensors.
class Batch {
 public:
  Batch() = default;
  explicit Batch(NamedTensors tensors) : tensors_(std::move(tensors)) {}

  /// The tensor named "input", else the first one: [rows, ...]. Throws DataError where it's empty.
  const torch::Tensor& input() const;
  /// The tensor named "target": [rows] or [rows, ...]. Throws DataError where there is none.
  const torch::Tensor& target() const;
  /// The tensor named "weight": [rows]. Throws DataError where there is none.
  const torch::Tensor& weight() const;
  /// Where the rows of the input lie: in the data set, or in the tensor that `input` gives.
  RowView input_view() const;
  /// The tensor of that name. Throws DataError, naming those there are.
  const torch::Tensor& operator[](std::string_view name) const;
  bool has(std::string_view name) const;

  /// All tensors, in order.
  const NamedTensors& tensors() const;
  NamedTensors& tensors();
  /// Puts or replaces a tensor.
  void set(std::string_view name, torch::Tensor tensor);

  /// The number of rows: the first size of the first tensor; 0 of an empty batch.
  int64_t rows() const;
  /// The rows' numbers in their data set, [rows]; empty where whoever made the batch has none.
  const std::vector<int64_t>& row_ids() const { return row_ids_; }
  std::vector<int64_t>& row_ids() { return row_ids_; }
  /// Which of several loaders the batch came from, from 0.
  int64_t loader_index() const { return loader_index_; }
  void set_loader_index(int64_t index) { loader_index_ = index; }

  /// The same batch with every tensor on `device`; asynchronous from pinned memory where
  /// `non_blocking`. Tensors that are there already are shared.
  Batch to(at::Device device, bool non_blocking = true) const;
  /// The same with every tensor in page-locked memory, for fast copies to a CUDA device.
  Batch pin_memory() const;

  // The part below is for data sets and readers.

  /// The tensors of an earlier batch, to be written again; what wasn't gathered is forgotten.
  NamedTensors& buffers();
  /// Whether a data set may leave rows where they are (see `defer`).
  bool may_defer() const { return may_defer_; }
  void set_may_defer(bool may_defer) { may_defer_ = may_defer; }
  /// Makes tensor `index` stand for `rows` of `source`, gathered when it's first asked for. All
  /// tensors deferred by one batch have the same rows.
  void defer(size_t index, RowSource source, std::span<const int64_t> rows);

 private:
  static constexpr size_t kNone = static_cast<size_t>(-1);
  size_t find(std::string_view name) const;
  size_t input_index() const;
  bool is_deferred(size_t index) const;
  const torch::Tensor& gathered(size_t index) const;
  void gather_all() const;

  // Mutable: gathering late is nobody's business but the batch's own.
  mutable NamedTensors tensors_;
  mutable std::vector<RowSource> deferred_;  // one a tensor, or none
  std::vector<int64_t> deferred_rows_;
  bool may_defer_ = false;
  std::vector<int64_t> row_ids_;
  int64_t loader_index_ = 0;
};

}  // namespace levin
