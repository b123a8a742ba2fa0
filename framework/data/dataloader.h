#pragma once

#include <levin/framework/data/dataset.h>
#include <levin/framework/data/sampler.h>
#include <levin/framework/tensor/random.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace levin {

/// What a batch transform may draw from: generators keyed by (seed, epoch, position), so that the
/// same row of the same epoch gets the same numbers whatever the number of workers and ranks.
struct TransformContext {
  uint64_t seed = 0;
  int64_t epoch = 0;
  /// The place in the epoch's order of each row of the batch, [rows].
  std::span<const int64_t> positions{};

  /// The generator of row `i` of the batch.
  KeyedGenerator generator(int64_t i) const;
};

/// Changes a batch in place: normalise, augment, convert. Called from several threads at once
/// where there are workers; records no gradients, and LibTorch uses one thread within it, so that
/// the bits are the same for any number of workers.
using BatchTransform = std::function<void(Batch& batch, const TransformContext& context)>;

/// Lightning's (torch.utils.data.DataLoader's) names and meanings.
struct DataLoaderOptions {
  /// Rows a device and step.
  int64_t batch_size = 1;
  /// Rows a step over all devices; 0: batch_size times their number.
  int64_t global_batch_size = 0;
  bool shuffle = false;
  /// Leave out a last batch that isn't full.
  bool drop_last = false;
  /// Threads that prepare batches ahead; 0 does it on the caller's thread.
  int64_t num_workers = 0;
  /// Batches each worker may be ahead.
  int64_t prefetch_factor = 2;
  /// Hand out page-locked tensors (only where a CUDA device is there).
  bool pin_memory = false;
  /// Of the order and the transforms; nothing: `global_seed()` when the loader is opened.
  std::optional<uint64_t> seed{};
  BatchTransform transform{};
  /// An order of one's own instead of `shuffle`.
  std::shared_ptr<const Sampler> sampler{};
};

/// Which part of each global batch a reader takes: the positions p with p mod world_size = rank.
struct RankShare {
  int64_t rank = 0;
  int64_t world_size = 1;
};

/// Hands out the batches of one loader, epoch after epoch. Owns its threads and buffers; a buffer
/// is used again once nobody holds its tensors. Move-only.
class Reader {
 public:
  Reader(Reader&&) noexcept;
  Reader& operator=(Reader&&) noexcept;
  ~Reader();

  /// Puts the next batch into `batch` (whose old tensors are taken back as buffers); false, and an
  /// empty batch, at the end of the epoch. Rethrows what a data set or transform threw; the next
  /// call tries that batch again.
  bool next(Batch& batch);
  /// Whether no batch is left in this epoch (a stream of unknown length is read one ahead).
  bool at_end();
  /// Goes to batch `position` of `epoch`, keeping threads and buffers. Throws ConfigError where
  /// the epoch has fewer.
  void seek(int64_t epoch, int64_t position = 0);
  int64_t epoch() const;
  /// Batches handed out (or skipped) in this epoch.
  int64_t position() const;
  /// Batches an epoch has for this shard; nothing for a stream of unknown length.
  std::optional<int64_t> size() const;
  /// Rows over all ranks of the batch last handed out: what gradients are weighted with.
  int64_t global_rows() const;
  /// Moves every batch to `device` before handing it out.
  void set_device(at::Device device);

 private:
  friend class DataLoader;
  class Implementation;
  Reader(std::shared_ptr<const Dataset> dataset, const DataLoaderOptions& options,
         RankShare rank_share);
  std::unique_ptr<Implementation> implementation_;
};

/// How to read a data set in batches: a description, a value. `open` gives the reader.
class DataLoader {
 public:
  /// Throws ConfigError for options that can't be (batch_size < 1, shuffling a stream ...) and
  /// DataError for a data set without rows.
  DataLoader(std::shared_ptr<const Dataset> dataset, DataLoaderOptions options);

  /// A reader at batch `position` of `epoch`; its threads start with its first batch. Throws
  /// ConfigError for a position or shard that can't be.
  Reader open(int64_t epoch = 0, int64_t position = 0, RankShare rank_share = {}) const;
  /// Batches an epoch has; nothing for a stream of unknown length.
  std::optional<int64_t> size(RankShare rank_share = {}) const;
  const Dataset& dataset() const { return *dataset_; }
  const DataLoaderOptions& options() const { return options_; }
  /// Rows a step over all devices.
  int64_t rows_a_step(RankShare rank_share = {}) const;
  /// The same with as many rows a step, whatever the number of devices.
  DataLoader with_global_batch_size(int64_t rows) const;
  /// The same with the rows in order (`overfit_batches`).
  DataLoader without_shuffle() const;

 private:
  std::shared_ptr<const Dataset> dataset_;
  DataLoaderOptions options_;
};

/// The loaders of one stage, read one after another; most often a single one.
class DataLoaders : public std::vector<DataLoader> {
 public:
  DataLoaders() = default;
  DataLoaders(DataLoader loader) { push_back(std::move(loader)); }  // NOLINT
  using std::vector<DataLoader>::vector;
};

}  // namespace levin
