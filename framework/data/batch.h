#pragma once

#include <levin/framework/data/rows.h>
#include <levin/framework/tensor/tensor.h>

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace levin {

/// What a step gets: an ordered list of named tensors that share their first size, the rows.
///
///     torch::Tensor training_step(const levin::Batch& batch, levin::Step& step) override {
///       return torch::cross_entropy_loss(linear_(batch.input()), batch.target());
///     }
///
/// By convention the first tensor is the input and the one named "target" the target; "weight" is
/// an optional weight of each row. Batches move cheaply; copies share the tensors.
///
/// The rows of a tensor may still lie in the data set (`Rows`), but only if the reader of the
/// batches asked for that: `Module::reads_rows_in_place`, `Reader::leave_rows_in_place`. Then an
/// accessor of a const batch copies the rows into new memory at each call and leaves the batch as
/// it is. An accessor of a batch that isn't const puts such a copy into the batch, so that whoever
/// reads the batch later sees what a hook does to the tensor in place; the data set isn't changed.
/// The tensor of sparse rows is a sparse CSR tensor, in place or not.
class Batch {
 public:
  Batch() = default;
  explicit Batch(NamedTensors tensors);

  /// The tensor named "input", or else the first one: [rows, ...]. Throws DataError if the batch is
  /// empty.
  torch::Tensor input() const { return input_rows().tensor(); }
  torch::Tensor input();
  /// The tensor named "target": [rows] or [rows, ...]. Throws DataError if there is none.
  torch::Tensor target() const { return (*this)["target"]; }
  torch::Tensor target() { return (*this)["target"]; }
  /// The tensor named "weight": [rows]. Throws DataError if there is none.
  torch::Tensor weight() const { return (*this)["weight"]; }
  torch::Tensor weight() { return (*this)["weight"]; }
  /// The tensor of that name. Throws DataError, listing the names there are, if there is none.
  torch::Tensor operator[](std::string_view name) const;
  torch::Tensor operator[](std::string_view name);
  bool has(std::string_view name) const { return find(name) != nullptr; }
  /// All tensors, in order. The list is const because a tensor put into it wouldn't be in the
  /// batch; `set` puts one there.
  const NamedTensors tensors() const;
  const NamedTensors tensors();

  /// The rows of the input, to be read where they lie. Throws DataError if the batch is empty.
  const Rows& input_rows() const;
  /// All rows by name, in order. A data set writes these.
  const NamedRows& entries() const { return entries_; }
  NamedRows& entries() { return entries_; }
  /// Replaces the rows (or tensor) of that name, or adds them at the end.
  void set(std::string_view name, Rows rows);

  /// A part of a batch that was read from several loaders together (`DataLoaders::together`): the
  /// tensors whose names begin with `name` and a slash, under their own names. They share the
  /// memory and the loader's index of this batch; row ids are only those of its first part. Throws
  /// DataError if there is no such part.
  ///
  ///     const Batch labelled = batch.part("labelled");   // labelled.input() is
  ///     batch["labelled/input"]
  Batch part(std::string_view name) const;
  /// Whether there is such a part. With LoaderMode::max_size, one that has ended is missing.
  bool has_part(std::string_view name) const;

  /// The number of rows: that of the first entry; 0 for an empty batch.
  int64_t rows() const { return entries_.empty() ? 0 : entries_.front().second.size(); }
  /// The rows' numbers in their data set, [rows]; empty if whoever made the batch has none.
  const std::vector<int64_t>& row_ids() const { return row_ids_; }
  std::vector<int64_t>& row_ids() { return row_ids_; }
  /// Which of several loaders the batch came from, from 0.
  int64_t loader_index() const { return loader_index_; }
  void set_loader_index(int64_t index) { loader_index_ = index; }

  /// The same batch with every tensor on `device`; the copy is asynchronous if `non_blocking` and
  /// the tensor lies in pinned memory. Tensors that are on the device already are shared.
  Batch to(at::Device device, bool non_blocking = true) const;
  /// The same batch with every tensor in page-locked memory, for fast copies to a CUDA device.
  Batch pin_memory() const;

  friend void swap(Batch& a, Batch& b) noexcept {
    a.entries_.swap(b.entries_);
    a.row_ids_.swap(b.row_ids_);
    std::swap(a.loader_index_, b.loader_index_);
  }

 private:
  const Rows* find(std::string_view name) const;

  NamedRows entries_;
  std::vector<int64_t> row_ids_;
  int64_t loader_index_ = 0;
};

}  // namespace levin
