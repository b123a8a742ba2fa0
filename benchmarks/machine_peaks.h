#pragma once

// What a core can do at most: multiply and add float32 numbers in registers, and read memory. Both
// use the widest vectors that the machine has.
#include <cstdint>
#include <thread>
#include <vector>

#include "measured_fit.h"

namespace bench {

typedef float Floats256 __attribute__((vector_size(32)));
typedef float Floats512 __attribute__((vector_size(64)));
typedef int64_t Words256 __attribute__((vector_size(32)));
typedef int64_t Words512 __attribute__((vector_size(64)));

constexpr int kChains = 12;  // enough to hide the latency, and few enough for 16 registers

/// `turns` fused multiply-adds in each of kChains chains of vectors. The result only keeps the
/// compiler from leaving them out.
template <class Vector>
__attribute__((always_inline)) inline float multiply_add(int64_t turns, float factor) {
  Vector sums[kChains];
  for (int k = 0; k < kChains; ++k) sums[k] = Vector{} + static_cast<float>(k);  // none is another
  const Vector multiplier = Vector{} + factor;
  const Vector summand = Vector{} + (1.0F - factor);
  for (int64_t i = 0; i < turns; ++i) {
#pragma GCC unroll 12
    for (int k = 0; k < kChains; ++k) sums[k] = sums[k] * multiplier + summand;
  }
  Vector sum = {};
  for (const auto& one : sums) sum += one;
  return sum[0];
}

/// The sum of the words of a block of memory, whose size is a multiple of 512 bytes.
template <class Vector>
__attribute__((always_inline)) inline int64_t read(const char* memory, size_t bytes) {
  constexpr size_t kAtOnce = 8;
  Vector sums[kAtOnce] = {};
  for (size_t at = 0; at < bytes; at += kAtOnce * sizeof(Vector)) {
#pragma GCC unroll 8
    for (size_t k = 0; k < kAtOnce; ++k) {
      sums[k] += *reinterpret_cast<const Vector*>(memory + at + k * sizeof(Vector));
    }
  }
  Vector sum = {};
  for (const auto& one : sums) sum += one;
  return sum[0];
}

#if defined(__x86_64__)
__attribute__((target("avx512f,fma"))) inline float multiply_add_512(int64_t turns, float factor) {
  return multiply_add<Floats512>(turns, factor);
}
__attribute__((target("avx2,fma"))) inline float multiply_add_256(int64_t turns, float factor) {
  return multiply_add<Floats256>(turns, factor);
}
__attribute__((target("avx512f"))) inline int64_t read_512(const char* memory, size_t bytes) {
  return read<Words512>(memory, bytes);
}
__attribute__((target("avx2"))) inline int64_t read_256(const char* memory, size_t bytes) {
  return read<Words256>(memory, bytes);
}
inline bool has_512() { return __builtin_cpu_supports("avx512f"); }
inline bool has_256() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#else
inline float multiply_add_512(int64_t turns, float f) { return multiply_add<Floats512>(turns, f); }
inline float multiply_add_256(int64_t turns, float f) { return multiply_add<Floats256>(turns, f); }
inline int64_t read_512(const char* memory, size_t bytes) { return read<Words512>(memory, bytes); }
inline int64_t read_256(const char* memory, size_t bytes) { return read<Words256>(memory, bytes); }
inline bool has_512() { return false; }
inline bool has_256() { return true; }
#endif

/// Keeps a result, so that its computation isn't left out.
inline volatile double kept_result = 0.0;

/// Calls `work(core)` on a thread for each of `cores` cores, and returns the seconds until the last
/// one has ended.
template <class Work>
double seconds_on(int cores, const Work& work) {
  const auto start = Clock::now();
  std::vector<std::thread> threads;
  for (int core = 1; core < cores; ++core) threads.emplace_back([&, core] { work(core); });
  work(0);
  for (auto& thread : threads) thread.join();
  return seconds_since(start);
}

/// Returns the float32 operations a second of `cores` cores; a fused multiply-add counts as two.
inline double peak_flops(int cores, double seconds) {
  const bool is_wide = has_512();
  const double a_turn = 2.0 * kChains * (is_wide ? 16 : 8);
  const auto run = [is_wide](int64_t turns) {
    kept_result = is_wide     ? multiply_add_512(turns, 0.999F)
                  : has_256() ? multiply_add_256(turns, 0.999F)
                              : multiply_add<Floats256>(turns, 0.999F);
  };
  constexpr int64_t kTry = 1'000'000;
  const double tried = seconds_on(1, [&](int) { run(kTry); });
  const auto turns = static_cast<int64_t>(static_cast<double>(kTry) * seconds / tried);
  const double took = seconds_on(cores, [&](int) { run(turns); });
  return a_turn * static_cast<double>(turns) * cores / took;
}

/// Returns memory larger than any cache, in huge pages if the system has them.
inline torch::Tensor large_memory(int64_t bytes) {
  return levin::empty_in_huge_pages({bytes}, torch::kByte).fill_(1);
}

/// Returns the bytes a second that `cores` cores read, each a part of the memory.
inline double read_bandwidth(const torch::Tensor& memory, int cores) {
  const auto* begin = reinterpret_cast<const char*>(memory.const_data_ptr<uint8_t>());
  const size_t part = memory.nbytes() / static_cast<size_t>(cores) / 512 * 512;
  const double took = seconds_on(cores, [&](int core) {
    const char* own = begin + static_cast<size_t>(core) * part;
    kept_result = static_cast<double>(has_512()   ? read_512(own, part)
                                      : has_256() ? read_256(own, part)
                                                  : read<Words256>(own, part));
  });
  return static_cast<double>(part) * cores / took;
}

}  // namespace bench
