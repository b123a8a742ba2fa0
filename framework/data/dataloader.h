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

/// Random numbers for a batch transform: generators keyed by (seed, epoch, position), so that the
/// same row of the same epoch gets the same numbers for any number of workers and ranks.
struct TransformContext {
  uint64_t seed = 0;
  int64_t epoch = 0;
  /// The place in the epoch's order of each row of the batch, [rows].
  std::span<const int64_t> positions{};

  /// The generator of row `i` of the batch.
  KeyedGenerator generator(int64_t i) const;
};

/// Changes a batch in place: normalises, augments, converts. Workers call it from several threads
/// at once. No gradients are recorded, and LibTorch uses one thread within it, so that the bits are
/// the same for any number of workers.
///
///     .transform = [](levin::Batch& batch, const levin::TransformContext&) {
///       batch.set("input", batch.input() / 255.0);
///     }
using BatchTransform = std::function<void(Batch& batch, const TransformContext& context)>;

/// How to read batches, with the names and meanings of torch.utils.data.DataLoader.
struct DataLoaderOptions {
  /// Rows of a step on each device.
  int64_t batch_size = 1;
  /// Rows of a step over all devices; 0 stands for batch_size times the number of devices.
  int64_t global_batch_size = 0;
  bool shuffle = false;
  /// Whether a last batch that isn't full is left out.
  bool drop_last = false;
  /// Threads that prepare batches ahead; with 0 the caller's thread prepares each when it's due.
  int64_t num_workers = 0;
  /// How many batches each worker may be ahead.
  int64_t prefetch_factor = 2;
  /// Whether tensors are page-locked; ignored if there is no CUDA device.
  bool pin_memory = false;
  /// The seed of the order and the transforms; nothing stands for `global_seed()` at the time the
  /// loader is opened.
  std::optional<uint64_t> seed{};
  BatchTransform transform{};
  /// An order of the user's own, instead of `shuffle`.
  std::shared_ptr<const Sampler> sampler{};
};

/// Which rows of each global batch are a rank's: those at positions p with p mod world_size = rank.
struct RankShare {
  int64_t rank = 0;
  int64_t world_size = 1;
};

/// Hands out the batches of one loader, epoch after epoch. Owns its threads and buffers; a buffer
/// is used again once nobody holds its tensors. Move-only.
///
///     levin::Reader reader = loader.open();
///     for (levin::Batch batch; reader.next(batch);) use(batch.input(), batch.target());
class Reader {
 public:
  Reader(Reader&&) noexcept;
  Reader& operator=(Reader&&) noexcept;
  ~Reader();

  /// Puts the next batch into `batch`, whose old tensors are taken back as buffers. Returns false,
  /// and an empty batch, at the end of the epoch. Rethrows what a data set or transform threw; the
  /// next call tries that batch again.
  bool next(Batch& batch);
  /// Whether no batch is left in this epoch (a stream of unknown length is read one ahead).
  bool at_end();
  /// Goes to batch `position` of `epoch`, keeping threads and buffers. Throws ConfigError if the
  /// epoch has fewer batches.
  void seek(int64_t epoch, int64_t position = 0);
  int64_t epoch() const;
  /// The number of batches handed out (or skipped) in this epoch.
  int64_t position() const;
  /// The number of batches an epoch has; nothing for a stream of unknown length.
  std::optional<int64_t> size() const;
  /// The number of rows over all ranks of the batch last handed out; gradients are weighted by it.
  int64_t global_rows() const;
  /// Moves every batch to `device` before handing it out.
  void set_device(at::Device device);
  /// For a caller that reads the input by `Batch::input_rows`: hands out batches whose rows lie in
  /// the data set instead of in copies, as far as the data set can (`Dataset::select_batch`). With
  /// workers, a transform, pinned memory or a device, rows are copied nevertheless.
  void leave_rows_in_place(bool in_place);

 private:
  friend class DataLoader;
  class Implementation;
  Reader(std::shared_ptr<const Dataset> dataset, const DataLoaderOptions& options,
         RankShare rank_share);
  std::unique_ptr<Implementation> implementation_;
};

/// How to read a data set in batches: a description, which can be copied. `open` gives the reader.
class DataLoader {
 public:
  /// Throws ConfigError for options that are out of range or exclude each other (batch_size < 1,
  /// shuffling a stream ...) and DataError for a data set without rows.
  DataLoader(std::shared_ptr<const Dataset> dataset, DataLoaderOptions options);

  /// A reader at batch `position` of `epoch`; its threads start with its first batch. Throws
  /// ConfigError for a position or a share that is out of range.
  Reader open(int64_t epoch = 0, int64_t position = 0, RankShare rank_share = {}) const;
  /// The number of batches an epoch has; nothing for a stream of unknown length.
  std::optional<int64_t> size(RankShare rank_share = {}) const;
  const Dataset& dataset() const { return *dataset_; }
  const DataLoaderOptions& options() const { return options_; }
  /// The number of rows of a step over all devices.
  int64_t rows_a_step(RankShare rank_share = {}) const;
  /// The same loader with `rows` rows in each step, whatever the number of devices.
  DataLoader with_global_batch_size(int64_t rows) const;
  /// The same loader with the rows in order (for `overfit_batches`).
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
