#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <levin/framework/data/dataloader.h>
#include <levin/framework/data/row_groups.h>
#include <levin/framework/data/training_sums.h>

namespace levin {

/// What can be known of training data before the first step: `Module::prepare` gets it.
///
///     void prepare(const levin::TrainingSet& train) override {
///       if (!layer_) make_layer(train.features().value(), train.num_classes());
///     }
///
/// Of loaders that are read together (`DataLoaders::together`), the first counts.
/// The data are seen as the data set has them; hooks that change batches aren't called. All rows of
/// the data set count, also if `limit_train_batches` or a sampler leaves out some. With several
/// ranks, each of them sees the data of all ranks.
class TrainingSet {
 public:
  /// `loaders` must outlive this object. `num_classes` is what the data module says; 0 if it
  /// doesn't know. `sums` and `groups` are the data module, if it is one that knows more.
  explicit TrainingSet(const DataLoaders& loaders, int64_t num_classes = 0,
                       HasTrainingSums* sums = nullptr, HasGroups* groups = nullptr)
      : loaders_(loaders), num_classes_(num_classes), sums_(sums), groups_(groups) {}

  const DataLoaders& loaders() const { return loaders_; }
  /// The number of rows of all loaders; nothing if one is a stream of unknown length.
  std::optional<int64_t> rows() const;
  /// The number of values of a row's input, 12 for batches [rows, 3, 4]; nothing if there is no
  /// row. Reads the first row, unless the data are in memory.
  std::optional<int64_t> features() const;
  /// The shape of a row of the tensor called `name`; nothing if there is no row or no such tensor.
  /// The input of a batch is the tensor called "input", or else the first one.
  std::optional<std::vector<int64_t>> row_shape(std::string_view name) const;
  /// The number of classes: what the data module says, or else one more than the highest label of
  /// data in memory; 0 if neither is known.
  int64_t num_classes() const;
  /// The number of groups that the data module says the rows are in; 0 if it says nothing.
  int64_t num_groups() const;
  /// The tensor called `name` of all rows [rows, ...] on the CPU; undefined if it isn't in memory.
  torch::Tensor values(std::string_view name) const;
  /// What the data module says if the data aren't in memory: the mean weight of the rows, if they
  /// have weights, and the sum of the weights (or the number) of the rows of each class. Empty if
  /// it doesn't know. May take a pass over the data.
  std::optional<double> mean_weight() const;
  std::vector<double> class_sums() const;

 private:
  // How many of the loaders count: all, or the first of those that are read together.
  size_t count() const;

  const DataLoaders& loaders_;
  int64_t num_classes_;
  HasTrainingSums* sums_;
  HasGroups* groups_;
};

}  // namespace levin
