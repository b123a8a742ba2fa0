#pragma once

#include <levin/framework/data/batch.h>
#include <levin/framework/data/gather.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace levin {

/// A source of rows, read a whole batch at a time from any number of threads.
class Dataset {
 public:
  virtual ~Dataset() = default;

  /// The number of rows; nothing for a stream whose end isn't known.
  virtual std::optional<int64_t> size() const = 0;
  /// Gathers `rows` (numbers in [0, size)) into `out`, in that order. Thread-safe.
  ///
  /// `out` may still hold tensors of an earlier batch, none of which anybody else uses: write into
  /// them (`reuse_or_allocate`) or replace them; some may be undefined. A stream that ends within
  /// `rows` gives fewer, a leading part of them: `out.rows()` tells, 0 after its end. Row ids left
  /// empty stand for `rows`.
  virtual void get_batch(std::span<const int64_t> rows, Batch& out) const = 0;
  /// One row, as a batch of one: the slow path.
  Batch get(int64_t row) const;
};

/// Tensors in memory (or on a device) that share their first size: {"input": x, "target": y}.
/// CPU tensors are gathered by memory copies, those on a device by `index_select`. Bytes can stand
/// for float32 numbers, at a quarter of the memory.
class TensorDataset : public Dataset {
 public:
  /// Throws DataError where the tensors differ in rows or there are none.
  explicit TensorDataset(NamedTensors tensors);
  /// The usual pair, as "input" [rows, ...] and "target" [rows, ...].
  TensorDataset(torch::Tensor input, torch::Tensor target);

  /// Hands the uint8 tensor of that name out as float32, (byte - zero_point) * scale. Throws
  /// DataError where there is none, or it isn't uint8.
  void set_scale(std::string_view name, ByteScale scale);

  std::optional<int64_t> size() const override { return rows_; }
  void get_batch(std::span<const int64_t> rows, Batch& out) const override;
  /// As they are stored.
  const NamedTensors& tensors() const { return tensors_; }

 private:
  NamedTensors tensors_;
  std::vector<std::optional<ByteScale>> scales_;  // one a tensor
  int64_t rows_ = 0;
};

/// Some rows of another data set, in a given order.
class Subset : public Dataset {
 public:
  Subset(std::shared_ptr<const Dataset> parent, std::vector<int64_t> rows);
  std::optional<int64_t> size() const override { return static_cast<int64_t>(rows_.size()); }
  /// The row ids of the batch are those of the parent.
  void get_batch(std::span<const int64_t> rows, Batch& out) const override;
  const std::vector<int64_t>& rows() const { return rows_; }
  const Dataset& parent() const { return *parent_; }

 private:
  std::shared_ptr<const Dataset> parent_;
  std::vector<int64_t> rows_;
};

}  // namespace levin
