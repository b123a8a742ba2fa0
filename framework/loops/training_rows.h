#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <levin/framework/data/dataloader.h>
#include <levin/framework/loops/loop_parts.h>
#include <levin/framework/solvers/row_source.h>

namespace levin {

/// The training rows of this rank for a solver: those of all loaders, in the order of the data
/// whatever the loaders' shuffling, with none left out. Rank r of w has every w-th row, or each
/// rank has the rows of all.
///
/// Data in memory are passed as one batch, whose rows stay where they are, unless a transform or a
/// hook changes batches; then, and for streams, the loaders' batches are read anew in each pass.
class TrainingRows final : public RowSource {
 public:
  enum class Of { this_rank, all_ranks };

  /// Reads at most `limit` batches of the loaders in a pass, if there is a limit; those of all
  /// ranks have the rows of all ranks' batches. Keeps references to what `parts` refers to.
  TrainingRows(LoopParts parts, const DataLoaders& train, std::optional<int64_t> limit,
               Of of = Of::this_rank);

  void pass(c10::function_ref<void(const Batch& batch)> use) override;
  void sum(torch::Tensor& values) override;
  int64_t ranks() const override { return parts_.strategy.rank_share().world_size; }
  int64_t rank() const override { return parts_.strategy.rank_share().rank; }
  torch::Tensor row_numbers(int64_t rows) const override;
  std::string reason_against_copies() const override;
  /// Lets `note` see the first batch that has rows, when it is passed.
  void on_first_batch(std::function<void(const Batch& batch)> note) { note_ = std::move(note); }
  /// The bytes that this rank has sent in all calls of `sum`: its numbers to each other rank.
  int64_t sent_bytes() const { return sent_bytes_; }

 private:
  /// This rank's share of the rows of a loader.
  struct Share {
    int64_t first = 0;  // the rows of all ranks before the loader's
    int64_t rows = 0;   // this rank's
  };

  bool find_in_place();
  Reader open(const DataLoader& loader) const;
  void note(const Batch& batch);

  LoopParts parts_;
  DataLoaders loaders_;  // in order, with all rows
  RankShare share_;
  std::optional<int64_t> limit_;
  int64_t sent_bytes_ = 0;
  std::function<void(const Batch& batch)> note_{};  // empty once it was called
  bool has_looked_ = false;
  std::vector<Batch> in_place_;   // empty: batches are read
  std::vector<int64_t> numbers_;  // of the rows in place
  std::vector<Share> shares_;     // of the batches that were read in the last pass
};

}  // namespace levin
