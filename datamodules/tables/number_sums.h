#pragma once

#include <cstdint>

namespace levin::tables {

/// A number of twice the precision of a double: the sum of two that don't overlap.
struct LongNumber {
  double high = 0.0;
  double low = 0.0;
};

/// The mean and the variance of numbers, in one pass over them. They are summed up in twice the
/// precision of a double, as differences to the first one, so that neither their order nor their
/// distance from 0 shows in the result.
///
/// Source: T. J. Dekker, A floating-point technique for extending the available precision,
/// Numerische Mathematik 18, 1971, doi:10.1007/BF01397083.
class NumberSums {
 public:
  void add(double number) { add_copies(number, 1); }
  /// Adds the same number many times.
  void add_copies(double number, int64_t copies);
  int64_t count() const { return count_; }
  /// The mean of the numbers, of which there must be one. Not finite if they are too large.
  double mean() const;
  /// The population's variance, 0 or more. Not finite if the numbers are too large.
  double variance() const;

 private:
  int64_t count_ = 0;
  double first_ = 0.0;
  LongNumber sum_;      // of the differences to the first number
  LongNumber squares_;  // of these differences
};

}  // namespace levin::tables
