#pragma once

#include <optional>
#include <vector>

#include <levin/framework/data/dataloader.h>

namespace levin {

/// The batches of training epochs: those of one or several loaders, read one after another, up to a
/// limit.
class TrainingData {
 public:
  /// Reads at most `limit` batches an epoch, over all loaders. Throws ConfigError if a loader of
  /// unknown length isn't the last one.
  TrainingData(const DataLoaders& loaders, RankShare rank_share, std::optional<int64_t> limit);

  /// What `Reader::leave_rows_in_place` does, for all loaders.
  void leave_rows_in_place(bool in_place);
  /// Goes to batch `position` of `epoch`.
  void seek(int64_t epoch, int64_t position);
  /// Puts the next batch, with its loader index, into `batch`; false at the end of the epoch.
  bool next(Batch& batch);
  /// Whether the epoch has no batch after those handed out.
  bool at_end();

  /// The number of rows over all ranks of the batch last handed out.
  int64_t global_rows() const { return readers_[current_].global_rows(); }

  /// The number of rows of a step over all ranks, for each loader.
  const std::vector<int64_t>& rows_a_step() const { return rows_a_step_; }

  /// The number of batches an epoch has over all loaders; nothing if the length of one isn't known.
  static std::optional<int64_t> size(const DataLoaders& loaders, RankShare rank_share);

 private:
  std::vector<Reader> readers_;
  std::vector<int64_t> rows_a_step_;
  std::optional<int64_t> limit_;
  size_t current_ = 0;
  int64_t position_ = 0;
  int64_t epoch_ = 0;
};

}  // namespace levin
