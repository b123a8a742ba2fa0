#pragma once

#include <cstdint>
#include <random>

namespace levin {

/// Random numbers that are the same on every machine.
class RandomSource {
 public:
  /// The sequence of numpy.random.RandomState(seed): `uniform` gives what its random_sample gives.
  explicit RandomSource(uint32_t seed) : engine_(seed) {}
  /// A sequence for one trial of a search, which depends on nothing but the two numbers, so that it
  /// doesn't matter which process asks for it, and when.
  static RandomSource of_trial(uint64_t seed, int64_t number);

  /// From 0 to below 1, with 53 random bits.
  double uniform();
  /// With mean 0 and variance 1.
  double normal();
  /// 32 random bits.
  uint32_t bits() { return static_cast<uint32_t>(engine_()); }

 private:
  std::mt19937 engine_;
};

}  // namespace levin
