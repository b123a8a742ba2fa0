#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace levin {

/// Steps of one number w along a constant gradient, with L2 and L1 penalties, as proximal methods
/// take them:
///
///     w <- shrunk((1 - 2 length l2) w - length * gradient, length * l1)
///
/// where shrunk(v, by) moves v towards 0 by at most `by`. Many such steps are made at once, in time
/// that grows with the logarithm of their number.
class LazySteps {
 public:
  /// For up to `most` steps at once. length * l2 must be below 1/2.
  LazySteps(double length, double l1, double l2, int64_t most);

  /// One step. A loop copies it, so that its numbers stay in registers.
  struct Single {
    double length;
    double shrink;
    double factor;

    double next(double w, double gradient) const {
      const double v = factor * w - length * gradient;
      return v - std::max(-shrink, std::min(shrink, v));
    }
  };
  const Single& single() const { return single_; }
  /// `w` after one step.
  double one(double w, double gradient) const { return single_.next(w, gradient); }
  /// `w` after `count` steps.
  double many(double w, double gradient, int64_t count) const;

 private:
  /// `count` steps whose points all have the sign `sign`.
  double same_sign(double w, double gradient, double sign, int64_t count) const {
    const auto i = static_cast<size_t>(count);
    return powers_[i] * w - sums_[i] * (single_.length * gradient + sign * single_.shrink);
  }

  Single single_;
  std::vector<double> powers_;  // factor^i
  std::vector<double> sums_;    // 1 + factor + ... + factor^(i - 1)
};

}  // namespace levin
