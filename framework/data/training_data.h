#pragma once

#include <optional>
#include <vector>

#include <levin/framework/data/dataloader.h>

namespace levin {

/// The batches of training epochs: one or several loaders read one after another, up to a limit.
class TrainingData {
 public:
  /// `limit`: batches an epoch at most, over all loaders.
  TrainingData(const DataLoaders& loaders, RankShare rank_share, std::optional<int64_t> limit);

  /// Goes to batch `position` of `epoch`.
  void seek(int64_t epoch, int64_t position);
  /// The next batch; false at the end of the epoch. Sets the batch's loader index.
  bool next(Batch& batch);
  /// Whether the epoch has no batch after those handed out.
  bool at_end();

  /// Rows over all ranks of the batch last handed out.
  int64_t global_rows() const { return readers_[current_].global_rows(); }

  /// Rows of a step over all ranks, of each loader.
  const std::vector<int64_t>& rows_a_step() const { return rows_a_step_; }

  /// Batches an epoch has over all loaders; nothing where one's length isn't known.
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
