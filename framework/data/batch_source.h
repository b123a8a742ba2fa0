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
  /// Rows over all ranks; 0 where the epoch ended before this batch.
  int64_t global_rows = 0;
  /// A stream ended within this batch: none follows.
  bool last = false;
  /// What the data set or transform threw instead.
  std::exception_ptr error;
};

/// Rows of a step over all devices.
int64_t rows_a_step(const DataLoaderOptions& options, RankShare rank_share);
/// Where this rank's rows begin in a batch whose first row is at position `first`; its others
/// follow at every world_size-th place.
int64_t share_offset(int64_t first, RankShare rank_share);
/// Batches an epoch has; nothing for a stream of unknown length.
std::optional<int64_t> batches_an_epoch(const Dataset& dataset, const DataLoaderOptions& options,
                                        RankShare rank_share);

/// Makes any batch of an epoch for one shard: order, gather, transform, pinning.
class BatchSource {
 public:
  /// Index buffers of one thread.
  struct Scratch {
    std::vector<int64_t> global;
    std::vector<int64_t> rows;
    std::vector<int64_t> positions;
  };

  BatchSource(std::shared_ptr<const Dataset> dataset, const DataLoaderOptions& options,
              RankShare rank_share);

  /// Batches an epoch has; nothing for a stream of unknown length.
  std::optional<int64_t> size() const { return size_; }
  /// Goes to another epoch, while no thread is in `make`.
  void set_epoch(int64_t epoch);
  /// Whether tensors are handed out in page-locked memory from now on.
  void set_pinned(bool pinned) { pinned_ = pinned; }
  /// Whether rows may stay in the data set until somebody asks for their tensor: of no use where
  /// this is to be done by another thread, or a transform asks at once.
  void set_deferred(bool deferred) { deferred_ = deferred && !transform_; }
  /// Makes batch `index` of the epoch in `out`, whose tensors are written again where nobody else
  /// holds them. Thread-safe.
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
  std::optional<int64_t> checked_rows_;  // what rows of a sampler of the user's must stay below
  std::optional<int64_t> size_;
  RankShare rank_share_;
  uint64_t seed_;
  int64_t epoch_ = 0;
  int64_t global_batch_size_;
  bool drop_last_;
  bool pinned_ = false;
  bool deferred_ = false;
};

}  // namespace levin
