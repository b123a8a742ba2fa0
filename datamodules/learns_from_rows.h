#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace levin {

/// A data module that learns something from its training rows, such as means, and can learn it from
/// some of them alone, derives from this class too. KFoldDataModule lets it learn from the rows
/// that a fold trains on, so that nothing is known of the rows that it is validated on.
///
///     class Visits : public levin::DataModule, public levin::LearnsFromRows { ... };
class LearnsFromRows {
 public:
  virtual ~LearnsFromRows() = default;
  /// Makes everything be learned anew, and what was taken over from a checkpoint be forgotten: from
  /// the rows of `train_dataloader` with these numbers, in increasing order, or from all of them if
  /// there is no list. The rows of all sets, and their order, stay the same; their features may
  /// change. Does nothing if these are the rows already and nothing was taken over since.
  virtual void learn_from(std::optional<std::vector<int64_t>> rows) = 0;
  /// Says, before anything is read, that `learn_from` will be called with one list after another,
  /// so that it may be worth its memory to keep what was read. Does nothing by default.
  virtual void keep_what_is_read() {}
};

}  // namespace levin
