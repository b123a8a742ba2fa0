#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace levin {

/// A curve of the height of a line of text: "▇▅▄▂▁▁▂▁". It keeps the whole of a series, however
/// long, in at most 64 means of neighbouring values.
///
///     Sparkline losses;
///     for (const double loss : run) losses.add(loss);
///     puts(losses.text(16, /*unicode=*/true).c_str());
class Sparkline {
 public:
  /// Adds the next value. Infinities and NaNs are left out.
  void add(double value);
  /// Forgets all values.
  void clear() { *this = Sparkline(); }
  bool empty() const { return means_.empty() && pending_count_ == 0; }
  /// Returns the curve as at most `cells` characters, the oldest value first, each with one of
  /// eight heights between the smallest and the largest value. Without `unicode`, they are
  /// characters of ASCII from '.', for the smallest, over ":-=+*#" to '@'.
  std::string text(int cells, bool unicode) const;

 private:
  static constexpr size_t kMostMeans = 64;

  std::vector<double> means_;
  int64_t values_a_mean_ = 1;
  double pending_sum_ = 0.0;  // of the values of the mean that isn't complete
  int64_t pending_count_ = 0;
};

}  // namespace levin
