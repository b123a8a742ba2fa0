#pragma once

#include <cstdint>
#include <span>
#include <vector>

/// How data modules divide rows among training, validation and testing. The functions work on row
/// numbers alone, so that a split costs 8 bytes a row and the data stays in place (see Subset):
///
///     const SplitSizes sizes = split_sizes(150, 0.1, 0.1);          // 120, 15, 15
///     const Split split = split_in_order(shuffled_rows(150, 42), sizes);
namespace levin {

/// The number of rows in each of the three sets.
struct SplitSizes {
  int64_t train = 0;
  int64_t val = 0;
  int64_t test = 0;
};

/// Returns the sizes that the shares `val_split` and `test_split` of `rows` rows come to, rounded
/// as Bolts' SklearnDataModule does: val and test together are floor(rows * (val_split +
/// test_split)), val is its part of that, rounded down, and all other rows are for training. A
/// small share may come to 0 rows. Throws ConfigError for shares outside [0, 1] or that add up to
/// more than 1.
SplitSizes split_sizes(int64_t rows, double val_split, double test_split);

/// The numbers of the rows in each set; no row is in two of them.
struct Split {
  std::vector<int64_t> train;
  std::vector<int64_t> val;
  std::vector<int64_t> test;
};

/// Returns 0 to rows - 1 in a random order that depends on `rows` and `seed` alone: the same on
/// every machine, and independent of `seed_everything`.
std::vector<int64_t> shuffled_rows(int64_t rows, int64_t seed);

/// Cuts `order` into pieces: the first `sizes.val` rows are for validation, the next `sizes.test`
/// for testing, the rest for training. `order` must have at least as many rows as both together.
Split split_in_order(std::span<const int64_t> order, const SplitSizes& sizes);

/// Splits like `split_in_order`, but gives every class its share of each set, as nearly as whole
/// rows allow (largest remainders; a small class may get no row of a small set). The rows of each
/// set keep their order in `order`. `labels` [rows] is indexed by row number and may hold any
/// integers. Throws DataError for a class with fewer rows than there are sets that aren't empty.
Split split_by_class(std::span<const int64_t> order, const SplitSizes& sizes,
                     std::span<const int64_t> labels);

}  // namespace levin
