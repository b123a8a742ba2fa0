#pragma once

#include <optional>
#include <vector>

namespace levin {

/// A data module that knows the weights of its training rows, which aren't in memory, derives from
/// this class too. Models that balance classes ask it (see TrainingSet).
///
///     class Clicks : public levin::DataModule, public levin::HasTrainingSums { ... };
class HasTrainingSums {
 public:
  virtual ~HasTrainingSums() = default;
  /// The mean weight of the training rows; nothing if they have none, or if it isn't known. Called
  /// after `setup(Stage::fit)` and only if it is needed, since it may take a pass over the data.
  virtual std::optional<double> mean_weight() = 0;
  /// The same for the sum of the weights of the rows of each class, or their number if rows have no
  /// weights; empty if it isn't known.
  virtual std::vector<double> class_sums() = 0;
};

}  // namespace levin
