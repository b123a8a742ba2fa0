#pragma once

#include <levin/framework/core/error.h>
#include <levin/framework/data/batch.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace levin {

/// A source of rows, which a DataLoader reads a whole batch at a time. Derive from it to read data
/// of a format of your own; tensors in memory need only a TensorDataset.
///
/// All member functions are const and must be thread-safe: the workers of a loader call them from
/// several threads at once, for different batches, with LibTorch's gradients switched off.
/// PyTorch: torch.utils.data.Dataset.
class Dataset {
 public:
  virtual ~Dataset() = default;

  /// The number of rows. Nothing for a stream whose end isn't known; such a data set can't be
  /// shuffled.
  virtual std::optional<int64_t> size() const = 0;
  /// Gathers `rows` (numbers in [0, size)) into `out`, in that order. A number may occur more than
  /// once.
  ///
  ///     auto& entries = out.entries();
  ///     entries.resize(1);
  ///     entries[0].first = "input";
  ///     auto* to = entries[0].second.allocate(rows.size(), {3}, at::kFloat)
  ///                    .mutable_data_ptr<float>();                          // [rows, 3]
  ///
  /// `out` may still hold tensors of an earlier batch, which nobody else uses. Write into them
  /// (`Rows::allocate`) or replace them (`out.set`); some may be undefined.
  ///
  /// A stream is asked for the rows first, first + 1, ... of its whole sequence, and with workers
  /// for several batches at the same time. If it ends within `rows`, it gives only the rows before
  /// its end, and after its end none. A data set with a size must give all rows; otherwise the
  /// loader throws DataError. If `out.row_ids()` is left empty, the loader sets it to `rows`.
  virtual void get_batch(std::span<const int64_t> rows, Batch& out) const = 0;
  /// The same as `get_batch`, but the rows may stay where they are (`Rows::select`) instead of
  /// being copied. Called only if the reader was told to do so (`Reader::leave_rows_in_place`). The
  /// default calls `get_batch`.
  virtual void select_batch(std::span<const int64_t> rows, Batch& out) const {
    get_batch(rows, out);
  }
  /// Tells the rows of `out`, which `select_batch` has put there, which rows will be read after
  /// them, so that they can be fetched ahead (`Rows::announce`).
  /// The default does nothing.
  virtual void announce(std::span<const int64_t> /*rows*/, Batch& /*out*/) const {}
  /// Returns row `row` as a batch of one row, each tensor [1, ...]. Allocates new tensors; to read
  /// many rows, use `get_batch` or a DataLoader.
  Batch get(int64_t row) const;
};

/// Throws DataError for the first of the numbers `rows` that a data set of `size` rows doesn't
/// have. `hint` says what to do about it.
inline void require_rows_in_range(std::span<const int64_t> rows, int64_t size,
                                  std::string_view hint = "check the sampler") {
  // Negative numbers are above every size when read as unsigned.
  for (const int64_t row : rows) {
    if (static_cast<uint64_t>(row) < static_cast<uint64_t>(size)) continue;
    throw DataError::no_such_row(row, size, hint);
  }
}

/// Tensors in memory (or on a device) that have the same number of rows, their first size:
/// {"input": x, "target": y}. CPU tensors are gathered by memory copies, those on a device by
/// `index_select`. Bytes can stand for float32 numbers, at a quarter of the memory.
///
///     // pixels: uint8 [rows, 784]; labels: int64 [rows]
///     auto digits = std::make_shared<levin::TensorDataset>(pixels, labels);
///     digits->set_scale("input", {.scale = 1.0F / 255.0F});  // batches hold float32 in [0, 1]
///     levin::DataLoader loader(digits, {.batch_size = 64, .shuffle = true});
///
/// A sparse CSR tensor of float32 numbers on the CPU is taken as sparse rows, which batches then
/// hold
/// (`Rows::sparse`, `of_rows`).
///
/// The tensors given are shared, not copied, unless they have to be made contiguous; don't change
/// them while they are read. Gradients don't flow into them.
class TensorDataset : public Dataset {
 public:
  /// Throws DataError if there is no tensor, if one is undefined or has no dimensions, or if the
  /// tensors differ in their numbers of rows; for sparse rows also if their entries aren't as
  /// `require_valid_entries` demands, if they aren't float32 or not on the CPU.
  explicit TensorDataset(NamedTensors tensors);
  /// The usual pair, named "input" [rows, ...] and "target" [rows] or [rows, ...].
  TensorDataset(torch::Tensor input, torch::Tensor target);
  /// A data set of rows of any kind. Chosen rows are copied together.
  static TensorDataset of_rows(NamedRows rows);

  /// Lets the uint8 tensor called `name` stand for float32 numbers, (byte - zero_point) * scale,
  /// which is what batches then hold. Call it before the data set is read. Throws DataError if
  /// there is no such tensor, or if it isn't uint8.
  void set_scale(std::string_view name, ByteScale scale);

  std::optional<int64_t> size() const override { return rows_; }
  /// Throws DataError for a number that isn't in [0, size).
  void get_batch(std::span<const int64_t> rows, Batch& out) const override;
  /// Leaves sparse rows, and others of at least 256 bytes, in place if a kernel can read them there
  /// (`Rows::view`, `Rows::sparse_view`), and copies the others.
  void select_batch(std::span<const int64_t> rows, Batch& out) const override;
  void announce(std::span<const int64_t> rows, Batch& out) const override;
  /// The tensors as they are stored: a tensor that has a scale is returned as its bytes, and sparse
  /// rows as a sparse CSR tensor.
  NamedTensors tensors() const;
  /// The rows of all tensors, with the scales.
  const NamedRows& entries() const { return entries_; }

  /// The same data set with its tensors on `device`, and the same names and scales. While somebody
  /// holds the result, every call for that device returns the same one. Null if the tensors would
  /// have to be copied there and take more than `most_bytes`, and if some of the rows are sparse,
  /// whose batches are moved instead. Throws LibTorch's error if the device
  /// lacks the memory.
  std::shared_ptr<const TensorDataset> on(
      at::Device device, size_t most_bytes = std::numeric_limits<size_t>::max()) const;

 private:
  // What `on` returned last. A copy of the data set begins without it.
  struct Elsewhere {
    Elsewhere() = default;
    Elsewhere(const Elsewhere& /*other*/) {}
    Elsewhere& operator=(const Elsewhere& /*other*/) {
      there.reset();
      return *this;
    }
    std::mutex mutex;
    std::weak_ptr<const TensorDataset> there;
  };
  TensorDataset() = default;
  void add(const std::string& name, const Rows& rows);
  void put_batch(std::span<const int64_t> rows, bool in_place, Batch& out) const;

  NamedRows entries_;
  int64_t rows_ = 0;
  mutable Elsewhere elsewhere_;
};

/// Some rows of another data set, in a given order: one side of a split, for example. Shares the
/// other data set and copies no data. PyTorch: torch.utils.data.Subset.
class Subset : public Dataset {
 public:
  /// Row i of the subset is row `rows[i]` of `parent`. Throws DataError for a number that `parent`
  /// doesn't have; if the parent's size isn't known, nothing is checked.
  Subset(std::shared_ptr<const Dataset> parent, std::vector<int64_t> rows);
  std::optional<int64_t> size() const override { return static_cast<int64_t>(rows_.size()); }
  /// `Batch::row_ids` are the numbers of the rows in the parent.
  void get_batch(std::span<const int64_t> rows, Batch& out) const override;
  void select_batch(std::span<const int64_t> rows, Batch& out) const override;
  void announce(std::span<const int64_t> rows, Batch& out) const override;
  const std::vector<int64_t>& rows() const { return rows_; }
  const Dataset& parent() const { return *parent_; }
  const std::shared_ptr<const Dataset>& shared_parent() const { return parent_; }

 private:
  // Calls `use` with the parent's numbers of the rows.
  template <class Use>
  void with_translated(std::span<const int64_t> rows, const Use& use) const;
  using PutBatch = void (Dataset::*)(std::span<const int64_t>, Batch&) const;
  void put_batch(std::span<const int64_t> rows, PutBatch put, Batch& out) const;

  std::shared_ptr<const Dataset> parent_;
  std::vector<int64_t> rows_;
};

/// A data set whose rows are rows of a TensorDataset.
struct InMemory {
  /// The TensorDataset at the end of a chain of Subsets; null if there is another data set there.
  std::shared_ptr<const TensorDataset> tensors;
  /// Row i of the data set is row `rows[i]` of `tensors`; empty if it is row i.
  std::vector<int64_t> rows;
};
InMemory find_in_memory(const std::shared_ptr<const Dataset>& dataset);

}  // namespace levin
