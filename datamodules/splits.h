#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace levin {

/// Rows of the three sets.
struct SplitSizes {
  int64_t train = 0;
  int64_t val = 0;
  int64_t test = 0;
};

/// What shares of `rows` rows come to, rounded as Bolts' SklearnDataModule does: val and test
/// together are floor(rows * (val_split + test_split)), val is its part of that, rounded down.
/// Throws ConfigError for shares outside [0, 1] or that add up to more than 1.
SplitSizes split_sizes(int64_t rows, double val_split, double test_split);

/// Numbers of rows, each in one set.
struct Split {
  std::vector<int64_t> train;
  std::vector<int64_t> val;
  std::vector<int64_t> test;
};

/// 0 to rows - 1 in a random order that depends on `seed` alone: the same on every machine.
std::vector<int64_t> shuffled_rows(int64_t rows, int64_t seed);

/// Cuts `order` in pieces: validation first, then test, the rest is for training.
Split split_in_order(std::span<const int64_t> order, const SplitSizes& sizes);

/// The same sizes with every class in each set in proportion, as near as whole rows allow (largest
/// remainders). Each set keeps `order`. `labels` [rows], any integers.
/// Throws DataError for a class with fewer rows than there are sets.
Split split_by_class(std::span<const int64_t> order, const SplitSizes& sizes,
                     std::span<const int64_t> labels);

}  // namespace levin
