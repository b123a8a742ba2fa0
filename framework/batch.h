#pragma once

#include <levin/framework/tensor.h>

#include <cstdint>
#include <string_view>
#include <vector>

namespace levin {

/// What a step gets: named tensors that share their first size, the rows.
///
/// By convention the first tensor is the input and the one named "target" the target; `weight` is
/// an optional weight a row. Batches move cheaply; copies share the tensors.
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
  /// The tensor of that name. Throws DataError, naming those there are.
  const torch::Tensor& operator[](std::string_view name) const;
  bool has(std::string_view name) const;

  /// All tensors, in order.
  const NamedTensors& tensors() const { return tensors_; }
  NamedTensors& tensors() { return tensors_; }
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

 private:
  const torch::Tensor* find(std::string_view name) const;

  NamedTensors tensors_;
  std::vector<int64_t> row_ids_;
  int64_t loader_index_ = 0;
};

}  // namespace levin
