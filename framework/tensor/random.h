#pragma once

#include <levin/framework/tensor/state_dict.h>

#include <cstdint>
#include <limits>

namespace levin {

/// Seeds LibTorch's generators (CPU and CUDA) and everything in Levin that shuffles or splits. Call
/// it before the model is made, so that the first weights are the same in each run. Loaders and
/// splits that have a seed of their own aren't affected. Lightning: seed_everything.
void seed_everything(uint64_t seed);
/// The seed last given to `seed_everything`, or restored by `load_random_state`; 0 before the first
/// call. Any thread may call this.
uint64_t global_seed();

/// Gives LibTorch's generators a seed made of the global one and the rank, so that dropout drops
/// other units on each rank. Leaves `global_seed` alone. The Trainer calls it at the beginning of a
/// fit, on all ranks but rank 0, and when a checkpoint of another number of ranks is resumed.
void reseed_for_rank(int64_t rank);

/// A small generator whose numbers depend on its key alone, so that they are the same on every
/// machine and for any number of threads and ranks. Use it for whatever is drawn for one row or one
/// epoch, such as an augmentation; making one costs no more than drawing three numbers. The
/// distributions of <random> accept it, but their results may differ between standard libraries.
/// Not for cryptography.
///
/// Source: SplitMix64 (Steele, Lea, Flood 2014, doi:10.1145/2660193.2660195).
///
///     KeyedGenerator generator(seed, epoch, position);
///     if (generator.uniform() < 0.5) flip(image);
class KeyedGenerator {
 public:
  using result_type = uint64_t;
  /// The key is made of up to three numbers, for example (seed, epoch, position). Each key starts a
  /// sequence of its own.
  explicit KeyedGenerator(uint64_t a, uint64_t b = 0, uint64_t c = 0)
      : state_(mix(mix(mix(a + kStep) ^ (b + kStep)) ^ (c + kStep))) {}

  /// What <random> asks of a generator: the bounds of its numbers, and the next number of the
  /// sequence, whose 64 bits are all random.
  static constexpr uint64_t min() { return 0; }
  static constexpr uint64_t max() { return std::numeric_limits<uint64_t>::max(); }
  uint64_t operator()() { return mix(state_ += kStep); }
  /// A number uniformly distributed in [0, 1), a multiple of 2^-53.
  double uniform() { return static_cast<double>((*this)() >> 11) * 0x1p-53; }
  /// An integer uniformly distributed in [0, n), without bias; n must be at least 1. Source: Lemire
  /// 2019, doi:10.1145/3230636.
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

/// The state of LibTorch's random generators (CPU, and each CUDA device that this process has used)
/// and the global seed, for a checkpoint. If it is restored, dropout and shuffling draw the numbers
/// that they would have drawn without the interruption. The tensors are named "cpu", "cuda.0" ...
StateDict random_state();
/// Restores what `random_state` returned. Ignores generators of devices that this machine lacks.
/// Throws CheckpointError, before anything is changed, if the state of the CPU's generator or the
/// seed is missing, or if a state has another size or type than this version of LibTorch needs.
void load_random_state(const StateDict& state);

}  // namespace levin
