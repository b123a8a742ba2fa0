#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace levin::tables {

/// Finds the median of numbers exactly in bounded memory. If there are more of them than are kept,
/// they are counted in 65,536 buckets of their range, and have to be given again: the next pass
/// keeps or counts only those in the bucket with the middle. Two passes are enough for most data,
/// and five for any.
///
///     do {
///       for (const double number : numbers) finder.add(number);
///     } while (finder.end_pass());
///     finder.median();
class MedianFinder {
 public:
  explicit MedianFinder(size_t most_kept = std::numeric_limits<size_t>::max())
      : most_kept_(most_kept) {}

  /// Takes the next number, which must be finite. Each pass must give the same ones.
  void add(double number);
  /// Ends a pass over all numbers; returns whether another one is needed. There must be a number.
  bool end_pass();
  /// The middle number, or the mean of the two middle ones. Known once no pass is needed.
  double median() const { return median_; }

 private:
  struct Bucket {
    int64_t count = 0;
    double least = 0.0;
    double most = 0.0;
    void add(double number);
  };
  void put(double number);
  bool end_counting(int64_t first, int64_t second);

  size_t most_kept_;
  bool is_first_pass_ = true;
  int64_t count_ = 0;    // of all numbers
  int64_t below_ = 0;    // of those below the range
  uint64_t lowest_ = 0;  // the range, as keys that are ordered as the numbers are
  uint64_t highest_ = std::numeric_limits<uint64_t>::max();
  int shift_ = 48;  // from a key in the range to its bucket
  std::vector<double> kept_;
  std::vector<Bucket> buckets_;  // empty: the numbers are kept
  double median_ = 0.0;
};

}  // namespace levin::tables
