#pragma once

#include <levin/framework/data/dataset.h>
#include <levin/framework/data/sampler.h>
#include <levin/framework/tensor/random.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace levin {

/// Random numbers for a batch transform: generators keyed by (seed, epoch, position), so that the
/// same row of the same epoch gets the same numbers for any number of workers and ranks.
struct TransformContext {
  uint64_t seed = 0;
  int64_t epoch = 0;
  /// The place in the epoch's order of each row of the batch, [rows].
  std::span<const int64_t> positions{};
  /// Whether rows may be changed at random: that of the loader's options.
  bool augment = true;

  /// The generator of row `i` of the batch.
  KeyedGenerator generator(int64_t i) const;
};

/// Changes a batch in place: normalises, augments, converts. It has to keep the number of rows.
/// Workers call it from several threads at once, each for another batch. No gradients are recorded,
/// and LibTorch uses one thread within it, so that the bits are the same for any number of workers.
///
///     .transform = [](levin::Batch& batch, const levin::TransformContext&) {
///       batch.set("input", batch.input() / 255.0);
///     }
using BatchTransform = std::function<void(Batch& batch, const TransformContext& context)>;

/// How to read batches, with the names and meanings of torch.utils.data.DataLoader. A batch of all
/// devices together is called a global batch; each device gets its share of the rows (RankShare).
struct DataLoaderOptions {
  /// Rows of a step on each device. Ignored if global_batch_size is set.
  int64_t batch_size = 1;
  /// Rows of a step over all devices; 0 stands for batch_size times the number of devices.
  int64_t global_batch_size = 0;
  /// Whether each epoch visits the rows in another random order (RandomSampler).
  bool shuffle = false;
  /// Whether a last batch that isn't full is left out.
  bool drop_last = false;
  /// Threads that prepare batches ahead of time. With 0, the thread that calls `Reader::next`
  /// prepares each batch when it asks for it.
  int64_t num_workers = 0;
  /// How many batches each worker may be ahead; all together keep num_workers * prefetch_factor
  /// batches in memory.
  int64_t prefetch_factor = 2;
  /// Whether tensors are page-locked; ignored if there is no CUDA device. A reader whose batches go
  /// to a CUDA device (`Reader::set_device`) uses page-locked memory in any case.
  bool pin_memory = false;
  /// The seed of the order and the transforms; nothing stands for `global_seed()` at the time the
  /// loader is opened.
  std::optional<uint64_t> seed{};
  /// Called for each batch after its rows have been read; none by default.
  BatchTransform transform{};
  /// Whether transforms that augment rows do so; others don't look at it. Loaders of data modules
  /// that validate, test or predict say no.
  bool augment = true;
  /// An order of your own, instead of `shuffle`. Each reader works on a clone of it.
  std::shared_ptr<const Sampler> sampler{};
};

/// Says which rows of each global batch a rank gets: those at positions p of the epoch for which
/// p mod world_size = rank. A rank may get no row of a short last batch; its batch then has 0 rows.
struct RankShare {
  int64_t rank = 0;
  int64_t world_size = 1;
};

/// Hands out the batches of one loader, epoch after epoch. Owns its threads and buffers; a buffer
/// is used again when nobody else holds its tensors any more. Move-only. All calls come from one
/// thread. The loader that opened the reader need not outlive it.
///
///     levin::Reader reader = loader.open();
///     for (levin::Batch batch; reader.next(batch);) use(batch.input(), batch.target());
class Reader {
 public:
  Reader(Reader&&) noexcept;
  Reader& operator=(Reader&&) noexcept;
  ~Reader();

  /// Puts the next batch into `batch`, whose old tensors are taken back as buffers: pass the same
  /// object each time, so that their memory is used again. Blocks until the batch is ready.
  /// At the end of the epoch it returns false and an empty batch; `seek` starts the next epoch.
  /// Rethrows what a data set or transform threw; the next call tries that batch again.
  bool next(Batch& batch);
  /// Whether no batch is left in this epoch. For a stream of unknown length, this reads one batch
  /// ahead if necessary.
  bool at_end();
  /// Goes to batch `position` of `epoch`, keeping threads and buffers. Skipped batches aren't read.
  /// Throws ConfigError if one of the two is negative or the epoch has fewer batches.
  void seek(int64_t epoch, int64_t position = 0);
  /// The epoch of the last `seek`; `next` never goes on to another one by itself.
  int64_t epoch() const;
  /// The number of batches handed out (or skipped) in this epoch.
  int64_t position() const;
  /// The number of batches an epoch has; nothing for a stream of unknown length.
  std::optional<int64_t> size() const;
  /// The number of rows over all ranks of the batch last handed out; gradients are weighted by it.
  int64_t global_rows() const;
  /// From the next batch on, moves every batch to `device` before handing it out. The copy to a
  /// CUDA device is asynchronous.
  void set_device(at::Device device);
  /// Hands out batches whose rows still lie in the data set, instead of copies, if the data set can
  /// do so (`Dataset::select_batch`). For callers that read the input through `Batch::input_rows`.
  /// Rows are copied nevertheless if there are workers, a transform, pinned memory, or a device
  /// other than the CPU; bytes with a scale then stay bytes in pinned memory, which batches for a
  /// CUDA device have. Off by default.
  void leave_rows_in_place(bool in_place);

  /// Copies the data set to `device`, and makes all later batches there, without workers. Returns
  /// whether the data live there now: they have to be a TensorDataset or a Subset of one, without a
  /// transform, and take at most `most_bytes`. They are copied once for all readers, also of other
  /// Subsets; whatever they take, a reader may use what is there already.
  bool reside(at::Device device, size_t most_bytes);
  /// Whether batches can be made by recorded work (ResidentBatches): the data live on a device, and
  /// this reader's rows are all rows.
  bool can_record() const;
  /// The number of further batches in this epoch that are full; for data of known size.
  int64_t full_batches_left() const;
  /// Gets ready to record; call it before the recording begins. Gives `batch` the tensors that
  /// recorded work will write, of batch_size rows.
  void begin_recording(Batch& batch);
  /// Enqueues the making of a batch into `batch`.
  void record(Batch& batch);
  /// Gets ready for the work that was recorded to make the next batch, and goes on to the batch
  /// after it. Returns false, and does nothing, if no full batch is next.
  bool next_recorded();

 private:
  friend class DataLoader;
  class Implementation;
  Reader(std::shared_ptr<const Dataset> dataset, const DataLoaderOptions& options,
         RankShare rank_share);
  std::unique_ptr<Implementation> implementation_;
};

/// How to read a data set in batches. It is only a description, cheap to copy, which shares the
/// data set; `open` returns the Reader that does the work. Data modules return loaders, and the
/// Trainer opens them.
///
///     levin::DataLoader loader(dataset, {.batch_size = 64, .shuffle = true, .num_workers = 2});
///     levin::Reader reader = loader.open();
class DataLoader {
 public:
  /// Throws ConfigError for options that are out of range or exclude each other (batch_size < 1,
  /// shuffling a stream ...) and DataError for a data set without rows.
  DataLoader(std::shared_ptr<const Dataset> dataset, DataLoaderOptions options);

  /// Returns a reader at batch `position` of `epoch`, for the rows of `rank_share`. Its threads are
  /// started when its first batch is asked for. Throws ConfigError if the position or the share is
  /// out of range, or if a global batch has fewer rows than there are ranks.
  Reader open(int64_t epoch = 0, int64_t position = 0, RankShare rank_share = {}) const;
  /// The number of batches an epoch has, the same on every rank; nothing for a stream of unknown
  /// length. Throws ConfigError if the share is out of range.
  std::optional<int64_t> size(RankShare rank_share = {}) const;
  const Dataset& dataset() const { return *dataset_; }
  const std::shared_ptr<const Dataset>& shared_dataset() const { return dataset_; }
  const DataLoaderOptions& options() const { return options_; }
  /// The number of rows of a step over all devices.
  int64_t rows_a_step(RankShare rank_share = {}) const;
  /// The same loader with `rows` rows in each global batch, whatever the number of devices.
  DataLoader with_global_batch_size(int64_t rows) const;
  /// The same loader with the rows in order (for `overfit_batches`).
  DataLoader without_shuffle() const;

 private:
  std::shared_ptr<const Dataset> dataset_;
  DataLoaderOptions options_;
};

/// How several training loaders are read. Lightning: the modes of CombinedLoader.
enum class LoaderMode {
  /// One after another. An epoch has the batches of all.
  sequential,
  /// Together: a step gets a batch of each. An epoch ends with the shortest loader ...
  min_size,
  /// ... or with the longest, and those that have ended are missing in later batches ...
  max_size,
  /// ... or with the longest, and those that have ended begin again, in another order if they
  /// shuffle.
  max_size_cycle
};

/// The loaders of one stage; most often a single one. Several are read one after another, or, for
/// training, together:
///
///     levin::DataLoaders train_dataloader() override {
///       return levin::DataLoaders::together(
///           {{"labelled", labelled_}, {"unlabelled", unlabelled_}}, LoaderMode::max_size_cycle);
///     }
///     torch::Tensor training_step(const levin::Batch& batch, levin::Step&) override {
///       return loss(batch.part("labelled"), batch.part("unlabelled"));
///     }
class DataLoaders : public std::vector<DataLoader> {
 public:
  DataLoaders() = default;
  DataLoaders(DataLoader loader) { push_back(std::move(loader)); }  // NOLINT
  using std::vector<DataLoader>::vector;
  /// Loaders whose batches come together, by name: tensor "input" of loader "a" is "a/input" in the
  /// batch, and `Batch::part` gives all of "a". The first loader that isn't missing gives the
  /// batch's number of rows, by which ranks and batches are weighted, and its row ids. Throws
  /// ConfigError if a name is empty, has a slash or occurs twice, if there is no loader, and,
  /// unless they are sequential, if one has no known length.
  static DataLoaders together(std::vector<std::pair<std::string, DataLoader>> loaders,
                              LoaderMode mode = LoaderMode::max_size_cycle);
  LoaderMode mode() const { return mode_; }
  /// The names of the loaders; empty unless they were made by `together`.
  const std::vector<std::string>& names() const { return names_; }

 private:
  LoaderMode mode_ = LoaderMode::sequential;
  std::vector<std::string> names_;
};

/// Throws ConfigError unless the loaders are read one after another. `who` needs that, such as
/// "validation".
void require_sequential(const DataLoaders& loaders, std::string_view who);

}  // namespace levin
