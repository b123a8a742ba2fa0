#include <levin/datamodules/splits.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include <levin/framework/core/counted.h>
#include <levin/framework/core/error.h>
#include <levin/framework/tensor/shuffle.h>

namespace levin {
namespace {

// Part of the generator's key, so that the split doesn't use the random numbers of the order of
// epoch 0, whose key is (seed, 0).
constexpr uint64_t kSplitKey = 0x73706c6974;  // "split"

void require_share(const char* option, double share) {
  if (!(share >= 0.0 && share <= 1.0)) {
    throw ConfigError::invalid_value(option, fmt::format("{}", share), "must be from 0 to 1");
  }
}

/// Divides `total` rows among classes in proportion to the rows that each has available, and gives
/// no class more than it has.
std::vector<int64_t> apportion(int64_t total, const std::vector<int64_t>& available) {
  const int64_t all = std::accumulate(available.begin(), available.end(), int64_t{0});
  std::vector<int64_t> counts(available.size(), 0);
  if (total == 0) return counts;
  std::vector<double> remainders(available.size());
  int64_t dealt = 0;
  for (size_t c = 0; c < available.size(); ++c) {
    const double share =
        static_cast<double>(total) * static_cast<double>(available[c]) / static_cast<double>(all);
    counts[c] = std::min(static_cast<int64_t>(share), available[c]);
    remainders[c] = share - static_cast<double>(counts[c]);
    dealt += counts[c];
  }
  std::vector<size_t> classes(available.size());
  std::iota(classes.begin(), classes.end(), size_t{0});
  std::stable_sort(classes.begin(), classes.end(),
                   [&](size_t a, size_t b) { return remainders[a] > remainders[b]; });
  for (size_t i = 0; dealt < total; i = (i + 1) % classes.size()) {
    const size_t c = classes[i];
    if (counts[c] == available[c]) continue;
    ++counts[c];
    ++dealt;
  }
  return counts;
}

/// The labels that occur, in ascending order. They may be any integers, such as -1 and 1.
std::vector<int64_t> classes_in(std::span<const int64_t> order, std::span<const int64_t> labels) {
  std::vector<int64_t> classes;
  classes.reserve(order.size());
  for (const int64_t row : order) classes.push_back(labels[static_cast<size_t>(row)]);
  std::sort(classes.begin(), classes.end());
  classes.erase(std::unique(classes.begin(), classes.end()), classes.end());
  return classes;
}

/// The index of each row's label in `classes`.
std::vector<size_t> places_in(const std::vector<int64_t>& classes, std::span<const int64_t> order,
                              std::span<const int64_t> labels) {
  std::vector<size_t> places;
  places.reserve(order.size());
  for (const int64_t row : order) {
    const auto found =
        std::lower_bound(classes.begin(), classes.end(), labels[static_cast<size_t>(row)]);
    places.push_back(static_cast<size_t>(found - classes.begin()));
  }
  return places;
}

/// The number of rows of each class. Throws DataError for a class with fewer rows than sets.
std::vector<int64_t> count_classes(const std::vector<int64_t>& classes,
                                   const std::vector<size_t>& places, const SplitSizes& sizes) {
  std::vector<int64_t> counts(classes.size(), 0);
  for (const size_t place : places) ++counts[place];
  const int64_t sets = (sizes.train > 0) + (sizes.val > 0) + (sizes.test > 0);
  for (size_t c = 0; c < counts.size(); ++c) {
    if (counts[c] < sets) {
      throw DataError(
          fmt::format("class {} has {}, but stratify = true needs one for each of the {} "
                      "sets; set stratify = false, or leave out the class",
                      classes[c], counted(counts[c], "row"), sets));
    }
  }
  return counts;
}

}  // namespace

SplitSizes split_sizes(int64_t rows, double val_split, double test_split) {
  require_share("val_split", val_split);
  require_share("test_split", test_split);
  const double both = val_split + test_split;
  if (both > 1.0) {
    throw ConfigError::conflict(
        fmt::format("val_split = {} and test_split = {} add up to more than 1", val_split,
                    test_split),
        "lower them, so that rows are left to train on");
  }
  if (both == 0.0) return {.train = rows, .val = 0, .test = 0};
  const auto holdout = static_cast<int64_t>(std::floor(static_cast<double>(rows) * both));
  const auto val = static_cast<int64_t>(val_split / both * static_cast<double>(holdout));
  return {.train = rows - holdout, .val = val, .test = holdout - val};
}

std::vector<int64_t> shuffled_rows(int64_t rows, int64_t seed) {
  std::vector<int64_t> order(static_cast<size_t>(rows));
  std::iota(order.begin(), order.end(), int64_t{0});
  shuffle(order, KeyedGenerator(static_cast<uint64_t>(seed), kSplitKey));
  return order;
}

Split split_in_order(std::span<const int64_t> order, const SplitSizes& sizes) {
  const auto val_end = order.begin() + static_cast<std::ptrdiff_t>(sizes.val);
  const auto test_end = val_end + static_cast<std::ptrdiff_t>(sizes.test);
  return {.train = {test_end, order.end()},
          .val = {order.begin(), val_end},
          .test = {val_end, test_end}};
}

Split split_by_class(std::span<const int64_t> order, const SplitSizes& sizes,
                     std::span<const int64_t> labels) {
  const auto classes = classes_in(order, labels);
  const auto places = places_in(classes, order, labels);
  auto left = count_classes(classes, places, sizes);
  auto val = apportion(sizes.val, left);
  for (size_t c = 0; c < left.size(); ++c) left[c] -= val[c];
  auto test = apportion(sizes.test, left);
  Split split;
  for (size_t i = 0; i < order.size(); ++i) {
    const size_t c = places[i];
    if (val[c] > 0) {
      --val[c];
      split.val.push_back(order[i]);
    } else if (test[c] > 0) {
      --test[c];
      split.test.push_back(order[i]);
    } else {
      split.train.push_back(order[i]);
    }
  }
  return split;
}

}  // namespace levin
