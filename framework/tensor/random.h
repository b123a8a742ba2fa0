#pragma once

#include <levin/framework/tensor/state_dict.h>

#include <cstdint>
#include <limits>

namespace levin {

/// Seeds LibTorch's generators (CPU and CUDA) and everything of Levin's that shuffles or splits.
/// Lightning: seed_everything.
void seed_everything(uint64_t seed);
/// The seed last given to `seed_everything`; 0 before.
uint64_t global_seed();

/// Gives LibTorch's generators another seed, made of the global one and the rank: ranks that drop
/// out other units than each other.
void reseed_for_rank(int64_t rank);

/// A small generator whose numbers depend on its key alone: the same on every machine, for any
/// number of threads and ranks. Works with the distributions of <random>.
/// Source: SplitMix64 (Steele, Lea, Flood 2014, doi:10.1145/2660193.2660195).
class KeyedGenerator {
 public:
  using result_type = uint64_t;
  /// Keyed by up to three numbers, say (seed, epoch, position).
  explicit KeyedGenerator(uint64_t a, uint64_t b = 0, uint64_t c = 0)
      : state_(mix(mix(mix(a + kStep) ^ (b + kStep)) ^ (c + kStep))) {}

  static constexpr uint64_t min() { return 0; }
  static constexpr uint64_t max() { return std::numeric_limits<uint64_t>::max(); }
  uint64_t operator()() { return mix(state_ += kStep); }
  /// Uniform in [0, 1): a multiple of 2^-53.
  double uniform() { return static_cast<double>((*this)() >> 11) * 0x1p-53; }
  /// Uniform in [0, n), n at least 1, without bias (Lemire 2019, doi:10.1145/3230636).
  uint64_t below(uint64_t n) {
    auto product = static_cast<unsigned __int128>((*this)()) * n;
    if (static_cast<uint64_t>(product) < n) {
      const uint64_t threshold = (0 - n) % n;
      while (static_cast<uint64_t>(product) < threshold) {
        product = static_cast<unsigned __int128>((*this)()) * n;
      }
    }
    return static_cast<uint64_t>(product >> 64);
  }

 private:
  static constexpr uint64_t kStep = 0x9e3779b97f4a7c15;
  static constexpr uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
  }

  uint64_t state_;
};

/// LibTorch's random generators (CPU, and each CUDA device in use) and the global seed as state,
/// so that dropout and shuffling go on after a resume with the numbers they would have drawn.
StateDict random_state();
/// Generators of devices that this machine lacks are passed over. Throws CheckpointError, before
/// anything is changed, where the state of the CPU's is missing or isn't one.
void load_random_state(const StateDict& state);

}  // namespace levin
