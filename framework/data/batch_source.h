#pragma once

#include <levin/framework/data/dataloader.h>

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace levin {

/// One batch as a reader's threads prepare it, with what the reader has to know about it. The same
/// object is filled again and again, so that its tensors serve as buffers.
struct PreparedBatch {
  /// This rank's rows of the global batch.
  Batch batch;
  /// The number of rows over all ranks; 0 if the epoch ended before this batch.
  int64_t global_rows = 0;
  /// Whether a stream of unknown length ended within this batch, so that no other follows.
  bool last = false;
  /// What the data set or transform threw; null if nothing was thrown. If it is set, the other
  /// members mean nothing.
  std::exception_ptr error;

  friend void swap(PreparedBatch& a, PreparedBatch& b) noexcept {
    swap(a.batch, b.batch);
    std::swap(a.global_rows, b.global_rows);
    std::swap(a.last, b.last);
    std::swap(a.error, b.error);
  }
};

/// The number of rows of a full batch over all ranks: global_batch_size if it is set, else
/// batch_size times the number of ranks.
int64_t rows_a_step(const DataLoaderOptions& options, RankShare rank_share);
/// The place, from 0, of this rank's first row in a global batch that begins at position `first` of
/// the epoch. The rank's other rows are every world_size-th one after it. The place may lie beyond
/// a short last batch: the rank then has no row of it.
int64_t share_offset(int64_t first, RankShare rank_share);
/// The number of batches that an epoch of a loader over `dataset` has, the same on every rank.
/// Nothing for a stream of unknown length.
std::optional<int64_t> num_loader_batches(const Dataset& dataset, const DataLoaderOptions& options,
                                          RankShare rank_share);

/// Makes any batch of an epoch for one rank: it chooses the rows, has the data set gather them,
/// transforms the batch and copies it to page-locked memory if that is wanted. A batch depends on
/// the options, the epoch and its index alone, so batches may be made in any order and by any
/// number of threads. Reader and PrefetchRing are built on it.
class BatchSource {
 public:
  /// Buffers for row numbers. Each thread that calls `make` passes one of its own.
  struct Scratch {
    std::vector<int64_t> global;     // the row numbers of the batch of all ranks
    std::vector<int64_t> rows;       // this rank's row numbers
    std::vector<int64_t> positions;  // the places of this rank's rows in the epoch's order
    std::vector<int64_t> next;       // this rank's row numbers of the batch after this one
  };

  /// Clones the sampler of `options`, or makes the one that `shuffle` asks for. If the options have
  /// no seed, the `global_seed()` of this moment is taken.
  BatchSource(std::shared_ptr<const Dataset> dataset, const DataLoaderOptions& options,
              RankShare rank_share);

  /// The number of batches an epoch has; nothing for a stream of unknown length.
  std::optional<int64_t> size() const { return size_; }
  /// Goes to another epoch, and shuffles the rows anew if the order is random. Must be called once
  /// before the first `make`. Neither this nor the next two functions may be called while a thread
  /// is in `make`.
  void set_epoch(int64_t epoch);
  /// Sets whether later batches are handed out in page-locked memory. Off by default.
  void set_pinned(bool pinned) { pinned_ = pinned; }
  /// Sets whether the data set may leave the rows of later batches in place
  /// (`Dataset::select_batch`). If there is a transform, which needs the tensors, rows are gathered
  /// nevertheless. Off by default.
  void set_in_place(bool in_place) { in_place_ = in_place && !transform_; }
  /// Whether batches are changed by a transform, so that they aren't rows of the data set alone.
  bool has_transform() const { return static_cast<bool>(transform_); }
  /// Reads later batches from another data set, which must have the same rows.
  void set_dataset(std::shared_ptr<const Dataset> dataset) { dataset_ = std::move(dataset); }
  /// Writes the numbers of the rows of all ranks at positions `first`, `first` + 1 ... of the
  /// epoch. For data sets of known size.
  void order(int64_t first, std::span<int64_t> numbers) const;
  /// Makes batch `index` of the epoch in `out`. The memory of the tensors in `out` is written again
  /// unless somebody else holds them. An exception ends up in `out.error`. Several threads may call
  /// this at once, each with its own `scratch` and `out`.
  void make(int64_t index, Scratch& scratch, PreparedBatch& out) const noexcept;

 private:
  // `make`, except that exceptions are thrown.
  void make_or_throw(int64_t index, Scratch& scratch, PreparedBatch& out) const;
  void take_share(int64_t index, int64_t count, Scratch& scratch) const;
  // Puts this rank's positions and the rows there into `scratch.positions` and `rows`. Returns the
  // number of rows of all ranks.
  int64_t take_rows(int64_t index, Scratch& scratch, std::vector<int64_t>& rows) const;
  // Read the rows of a batch: of a data set whose size is known, and of a stream.
  void read_known(int64_t index, Scratch& scratch, PreparedBatch& out) const;
  void read_stream(int64_t index, Scratch& scratch, PreparedBatch& out) const;
  // Lets the data set put the rows with these numbers into `out`, and completes the row ids.
  void read(const std::vector<int64_t>& rows, Batch& out) const;

  std::shared_ptr<const Dataset> dataset_;
  std::unique_ptr<Sampler> sampler_;  // none for a stream of unknown length
  BatchTransform transform_;
  std::optional<int64_t> checked_rows_;  // the limit for row numbers of a user's own sampler
  std::optional<int64_t> size_;
  RankShare rank_share_;
  uint64_t seed_;
  int64_t epoch_ = 0;
  int64_t global_batch_size_;
  bool drop_last_;
  bool augment_;
  bool pinned_ = false;
  bool in_place_ = false;
};

}  // namespace levin
