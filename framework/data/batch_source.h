#pragma once

#include <levin/framework/data/dataloader.h>

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <vector>

namespace levin {

/// One batch as a reader's threads prepare it, with what belongs to it.
struct PreparedBatch {
  Batch batch;
  /// The number of rows over all ranks; 0 if the epoch ended before this batch.
  int64_t global_rows = 0;
  /// Whether a stream ended within this batch, so that none follows.
  bool last = false;
  /// What the data set or transform threw; then there is no batch.
  std::exception_ptr error;
};

/// The number of rows of a step over all devices.
int64_t rows_a_step(const DataLoaderOptions& options, RankShare rank_share);
/// Where this rank's rows begin in a batch whose first row is at position `first`; its other rows
/// follow at every world_size-th place.
int64_t share_offset(int64_t first, RankShare rank_share);
/// The number of batches that an epoch of a loader over `dataset` has; nothing for a stream of
/// unknown length.
std::optional<int64_t> num_loader_batches(const Dataset& dataset, const DataLoaderOptions& options,
                                          RankShare rank_share);

/// Makes any batch of an epoch for one rank: it chooses the rows, gathers, transforms and pins
/// them.
class BatchSource {
 public:
  /// Buffers for row numbers, one Scratch for each thread.
  struct Scratch {
    std::vector<int64_t> global;
    std::vector<int64_t> rows;
    std::vector<int64_t> positions;
  };

  BatchSource(std::shared_ptr<const Dataset> dataset, const DataLoaderOptions& options,
              RankShare rank_share);

  /// The number of batches an epoch has; nothing for a stream of unknown length.
  std::optional<int64_t> size() const { return size_; }
  /// Goes to another epoch. Must not be called while a thread is in `make`.
  void set_epoch(int64_t epoch);
  /// Sets whether tensors are handed out in page-locked memory from now on.
  void set_pinned(bool pinned) { pinned_ = pinned; }
  /// Sets whether the data set may leave rows in place (`Dataset::select_batch`) from now on. If
  /// there is a transform, which needs the tensors, rows are gathered nevertheless.
  void set_in_place(bool in_place) { in_place_ = in_place && !transform_; }
  /// Makes batch `index` of the epoch in `out`, whose tensors are written again unless somebody
  /// else holds them. Thread-safe.
  void make(int64_t index, Scratch& scratch, PreparedBatch& out) const noexcept;

 private:
  void make_or_throw(int64_t index, Scratch& scratch, PreparedBatch& out) const;
  void take_share(int64_t index, int64_t count, Scratch& scratch) const;
  void read_known(int64_t index, Scratch& scratch, PreparedBatch& out) const;
  void read_stream(int64_t index, Scratch& scratch, PreparedBatch& out) const;
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
  bool pinned_ = false;
  bool in_place_ = false;
};

}  // namespace levin
