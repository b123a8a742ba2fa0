#pragma once

#include <cstdint>
#include <random>

namespace levin {

/// When requests are meant to be sent, in nanoseconds from the start of a load: at equal intervals,
/// or at random as many independent clients do (a Poisson process). The same seed gives the same
/// times.
class Arrivals {
 public:
  /// `rate`: requests a second, above 0.
  Arrivals(double rate, bool is_poisson, uint64_t seed)
      : interval_(1e9 / rate), is_poisson_(is_poisson), random_(seed) {}

  /// The time of the next request.
  int64_t next() {
    at_ += is_poisson_ ? exponential_(random_) * interval_ : interval_;
    return static_cast<int64_t>(at_);
  }

 private:
  double interval_;
  bool is_poisson_;
  std::mt19937_64 random_;
  std::exponential_distribution<double> exponential_{1.0};
  double at_ = 0.0;
};

}  // namespace levin
