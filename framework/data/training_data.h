#pragma once

#include <optional>
#include <string>
#include <vector>

#include <levin/framework/data/dataloader.h>

namespace levin {

/// The batches of training epochs: those of one or several loaders, read one after another or
/// together (LoaderMode), up to a limit. The training loop reads its data through this class.
///
/// Of loaders that are read together, ranks are weighted by their rows of the first part, so that a
/// loss that is a sum of means over the rows of the parts is that of one process if each rank has
/// the same share of all parts. In steps in which the rows of another part can't be divided so,
/// each rank has all of them.
///
///     TrainingData data(data_module.train_dataloader(), rank_share, limit);
///     data.seek(epoch, 0);
///     for (Batch batch; data.next(batch);) step(batch, data.global_rows());
///
/// Call `seek` before the first batch of each epoch. All calls come from one thread; the loaders'
/// own worker threads are started with the first batch.
class TrainingData {
 public:
  /// Opens a reader for each of `loaders`, of which there must be at least one. Reads at most
  /// `limit` batches in an epoch, counted over all loaders; no value means no limit. Throws
  /// ConfigError if a loader of unknown length isn't the last one, or if `rank_share` is out of
  /// range.
  TrainingData(const DataLoaders& loaders, RankShare rank_share, std::optional<int64_t> limit);

  /// Calls `Reader::leave_rows_in_place` for all loaders.
  void leave_rows_in_place(bool in_place);
  /// Calls `Reader::reside` for all loaders. Returns whether all data live on the device now.
  bool reside(at::Device device, size_t most_bytes);
  /// The same functions as those of Reader, for the case of a single loader.
  bool can_record() const {
    return mode_ == LoaderMode::sequential && readers_.size() == 1 && readers_[0].can_record();
  }
  int64_t full_batches_left() const;
  void begin_recording(Batch& batch) { readers_[0].begin_recording(batch); }
  void record(Batch& batch) { readers_[0].record(batch); }
  bool next_recorded();
  /// Goes to batch `position` of `epoch`, counted over all loaders: where a checkpoint in the
  /// middle of an epoch goes on. Skipped batches aren't read. Throws ConfigError if the epoch has
  /// fewer batches.
  void seek(int64_t epoch, int64_t position);
  /// Puts the next batch into `batch` and sets its `loader_index`, which is 0 for a batch of
  /// several loaders together. Returns false at the end of the epoch. Blocks until the batch is
  /// ready, and rethrows what the data set or transform threw.
  bool next(Batch& batch);
  /// Returns whether the epoch has no batch after those handed out. If the last loader is a stream
  /// of unknown length, this may read one batch ahead.
  bool at_end();

  /// The number of rows over all ranks of the batch last handed out, or of its first part.
  /// Gradients are weighted by it.
  int64_t global_rows() const { return readers_[current_].global_rows(); }

  /// The number of rows of a full batch over all ranks, one number for each loader. Checkpoints
  /// keep these, so that a run that resumes with another number of ranks trains on batches of the
  /// same size.
  const std::vector<int64_t>& rows_a_step() const { return rows_a_step_; }

  /// The number of batches that an epoch has over all loaders, without a limit. Nothing if the
  /// length of a loader isn't known.
  static std::optional<int64_t> size(const DataLoaders& loaders, RankShare rank_share);

 private:
  /// A loader that is read together with others.
  struct Part {
    std::string prefix{};  // of its tensors' names
    int64_t size = 0;      // its batches
    int64_t passes = 1;    // over it in an epoch, rounded up
    int64_t rows = 0;      // of a pass, over all ranks
    /// Gives this rank the rows of all ranks, in steps in which the ranks' shares of this part
    /// aren't those that they have of the first part.
    std::optional<Reader> whole{};
    Batch batch{};  // the last one, whose tensors are buffers
  };
  void add_parts(const DataLoaders& loaders, RankShare rank_share);
  bool has_ended(const Part& part) const;
  void seek_part(const Part& part, Reader& reader) const;
  bool are_shared_alike(size_t one, size_t other) const;
  void read_parts(Batch& batch);

  std::vector<Reader> readers_;
  LoaderMode mode_ = LoaderMode::sequential;
  std::vector<Part> parts_;  // empty if they are read one after another
  int64_t world_size_ = 1;
  std::vector<int64_t> rows_a_step_;
  std::optional<int64_t> limit_;
  size_t current_ = 0;
  int64_t position_ = 0;
  int64_t epoch_ = 0;
};

}  // namespace levin
