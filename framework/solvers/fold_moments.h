#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include <levin/framework/solvers/row_source.h>

namespace levin {

/// Puts the numbers into an order that follows from the generator alone, on every platform.
void shuffle_folds(std::vector<int64_t>& folds, std::mt19937_64& generator);

/// The fold of each of `count` rows, [count] int64: consecutive rows in folds of sizes that differ
/// by one at most, as scikit-learn's KFold deals them out or, with a seed, in a random order.
/// Throws ConfigError if there are more folds than rows.
torch::Tensor row_folds(int64_t count, int64_t folds, std::optional<int64_t> seed = {});

/// All that least squares needs to know of some rows: the mean values, and the mean products of
/// what the features and the target are above their mean.
struct Moments {
  double weight = 0.0;        // the sum of the rows' weights
  torch::Tensor mean{};       // [features]; 0 if there is no bias
  double target_mean = 0.0;   // the same of the target
  torch::Tensor products{};   // [features, features]
  torch::Tensor with_target;  // [features]: of each feature with the target
};

/// The moments of the rows of each fold of a data set with one target, over all ranks, from two
/// passes over the rows. Rows are dealt out to the folds by their numbers among all rows. They
/// serve least squares with any penalties on all folds but one, and the errors on that one. Memory:
/// [folds, features + 2, features + 2] numbers.
class FoldMoments {
 public:
  /// `folds`: at least 1. Throws DataError for several targets a row, and what `row_folds` throws.
  /// A collective.
  FoldMoments(RowSource& rows, int64_t features, bool has_bias, int64_t folds,
              std::optional<int64_t> seed);

  /// The moments of the rows outside of the fold, or of all rows for -1.
  Moments outside(int64_t fold) const;
  /// The mean squared error over the rows of the fold. `weight`: [features].
  double error(int64_t fold, const torch::Tensor& weight, double bias) const;

 private:
  int64_t features_;
  bool has_bias_;
  torch::Tensor shift_;  // [features + 1]: what is subtracted from features and target; 0: no bias
  torch::Tensor sums_;   // [folds, features + 2, features + 2]: of (x, 1, y) (x, 1, y)^T
};

/// Calls `use` for blocks of all rows of this rank: features [rows, features], target [rows] and
/// weights [rows], all float64, and the place of the first one among the rank's rows.
struct RegressionRows {
  torch::Tensor x;
  torch::Tensor y;
  torch::Tensor weights;
  int64_t first;
};
void for_regression_rows(RowSource& rows, int64_t features,
                         c10::function_ref<void(const RegressionRows& block)> use);

}  // namespace levin
