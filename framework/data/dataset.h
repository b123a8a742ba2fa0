#pragma once

#include <levin/framework/data/batch.h>

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
  ///     auto& entries = out.entries();
  ///     entries.resize(1);
  ///     entries[0].first = "input";
  ///     auto* to = entries[0].second.allocate(rows.size(), {3}, at::kFloat)
  ///                    .mutable_data_ptr<float>();                          // [rows, 3]
  ///
  /// `out` may still hold tensors of an earlier batch, none of which anybody else uses: write into
  /// them (`Rows::allocate`) or replace them (`out.set`); some may be undefined. A stream that ends
  /// within `rows` gives fewer, a leading part of them: `out.rows()` tells, 0 after its end. If the
  /// row ids of `out` are left empty, `rows` is taken for them.
  virtual void get_batch(std::span<const int64_t> rows, Batch& out) const = 0;
  /// The same, but rows may be left in place (`Rows::select`) instead of being copied, for a reader
  /// of batches that wants them so (`Reader::leave_rows_in_place`). By default copies.
  virtual void select_batch(std::span<const int64_t> rows, Batch& out) const {
    get_batch(rows, out);
  }
  /// One row, as a batch of one: the slow path.
  Batch get(int64_t row) const;
};

/// Tensors in memory (or on a device) that share their first size: {"input": x, "target": y}.
/// CPU tensors are gathered by memory copies, those on a device by `index_select`. Bytes can stand
/// for float32 numbers, at a quarter of the memory.
class TensorDataset : public Dataset {
 public:
  /// Throws DataError if there is no tensor, or if the tensors differ in their numbers of rows.
  explicit TensorDataset(NamedTensors tensors);
  /// The usual pair, as "input" [rows, ...] and "target" [rows, ...].
  TensorDataset(torch::Tensor input, torch::Tensor target);

  /// Hands the uint8 tensor of that name out as float32, (byte - zero_point) * scale. Throws
  /// DataError if there is no such tensor, or if it isn't uint8.
  void set_scale(std::string_view name, ByteScale scale);

  std::optional<int64_t> size() const override { return rows_; }
  void get_batch(std::span<const int64_t> rows, Batch& out) const override;
  /// Leaves rows of at least 256 bytes in place if a kernel can read them (`Rows::view`).
  void select_batch(std::span<const int64_t> rows, Batch& out) const override;
  /// The tensors as they are stored: bytes that have a scale are bytes.
  NamedTensors tensors() const;

 private:
  void put_batch(std::span<const int64_t> rows, bool in_place, Batch& out) const;

  NamedRows entries_;
  int64_t rows_ = 0;
};

/// Some rows of another data set, in a given order.
class Subset : public Dataset {
 public:
  /// Throws DataError for a row that `parent` hasn't.
  Subset(std::shared_ptr<const Dataset> parent, std::vector<int64_t> rows);
  std::optional<int64_t> size() const override { return static_cast<int64_t>(rows_.size()); }
  /// The row ids of the batch are those of the parent.
  void get_batch(std::span<const int64_t> rows, Batch& out) const override;
  void select_batch(std::span<const int64_t> rows, Batch& out) const override;
  const std::vector<int64_t>& rows() const { return rows_; }
  const Dataset& parent() const { return *parent_; }

 private:
  using PutBatch = void (Dataset::*)(std::span<const int64_t>, Batch&) const;
  void put_batch(std::span<const int64_t> rows, PutBatch put, Batch& out) const;

  std::shared_ptr<const Dataset> parent_;
  std::vector<int64_t> rows_;
};

}  // namespace levin
