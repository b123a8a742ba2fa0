#pragma once

// Vectors of LEVIN_LANES floats, by the vector extensions of gcc and clang: the operators +, *, <
// and ?: work on all lanes at once. Included by files that are compiled for one vector unit each;
// implementation.h says why everything is local to those files.
#include <cstdint>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace levin::kernels {
namespace {

// The number of floats in a vector: 4, 8 or 16.
constexpr int kLanes = LEVIN_LANES;

// A vector in a register, the same as integers, and a vector that lies anywhere in an array of
// floats, without alignment.
typedef float Vector __attribute__((vector_size(kLanes * 4)));
typedef int32_t Integers __attribute__((vector_size(kLanes * 4)));
typedef float InMemory __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));

typedef uint8_t Bytes __attribute__((vector_size(kLanes), aligned(1), may_alias));

// Reads kLanes floats, or bytes as floats, at any address, and writes floats; `all` has the same
// number in every lane.
inline Vector load(const float* from) { return *reinterpret_cast<const InMemory*>(from); }
inline Vector load(const uint8_t* from) {
  // gcc 12 takes the bytes one by one if it is left to find the instruction. The unmasked intrinsic
  // of AVX-512 makes it warn about its own header.
#if defined(__AVX512F__)
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  const auto integers = (Integers)_mm512_maskz_cvtepu8_epi32(0xFFFF, bytes);
#elif defined(__AVX2__)
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
  const auto integers = (Integers)_mm256_cvtepu8_epi32(bytes);
#else
  const auto integers = __builtin_convertvector(*reinterpret_cast<const Bytes*>(from), Integers);
#endif
  return __builtin_convertvector(integers, Vector);
}
inline void store(float* to, Vector value) { *reinterpret_cast<InMemory*>(to) = value; }

// Reads and writes whole vectors.
struct WholeVectors {
  Vector load_at(const float* from) const { return load(from); }
  void store_at(float* to, Vector value) const { store(to, value); }
};

// Reads and writes the first `count` numbers of a vector, from 1 to kLanes, and touches no memory
// behind them. The other lanes are 0.
struct FirstLanes {
  int64_t count;

#if defined(__AVX512F__)
  __mmask16 mask() const { return static_cast<__mmask16>((1U << count) - 1U); }
  Vector load_at(const float* from) const { return (Vector)_mm512_maskz_loadu_ps(mask(), from); }
  void store_at(float* to, Vector value) const { _mm512_mask_storeu_ps(to, mask(), (__m512)value); }
#else
  Vector load_at(const float* from) const {
    float numbers[kLanes] = {};
    for (int64_t i = 0; i < count; ++i) numbers[i] = from[i];
    return load(numbers);
  }
  void store_at(float* to, Vector value) const {
    float numbers[kLanes];
    store(numbers, value);
    for (int64_t i = 0; i < count; ++i) to[i] = numbers[i];
  }
#endif
};

// value - 0 is `value` itself, whereas value + 0 is an addition, since it turns -0 into 0.
inline Vector all(float value) { return value - Vector{}; }

// Returns `value` in the given lane and 0 in the others, or 0 in all if there is no such lane.
inline Vector at_lane(int64_t lane, float value) {
  Integers numbers;
  for (int i = 0; i < kLanes; ++i) numbers[i] = i;
  return numbers == static_cast<int32_t>(lane) ? all(value) : Vector{};
}

// Four floats.
typedef float Four __attribute__((vector_size(16)));

struct Add {
  template <class T>
  T operator()(T a, T b) const {
    return a + b;
  }
};
struct Larger {
  template <class T>
  T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};

// Combines the groups of four floats of a vector into one. Halves are combined first, which takes
// the fewest moves between lanes.
#if LEVIN_LANES > 4
template <class Combine>
inline Four folded(Vector value, Combine combine) {
  typedef float Half __attribute__((vector_size(kLanes * 2)));
  union {
    Vector whole;
    Half halves[2];
  } split = {value};
  const Half half = combine(split.halves[0], split.halves[1]);
#if LEVIN_LANES > 8
  union {
    Half whole;
    Four halves[2];
  } again = {half};
  return combine(again.halves[0], again.halves[1]);
#else
  return half;
#endif
}
#else
template <class Combine>
inline Four folded(Vector value, Combine) {
  return value;
}
#endif

// Returns the sum, or the largest, of the lanes. The order of the additions depends on kLanes, so
// the last bits may differ from one vector unit to another.
inline float sum_of(Vector value) {
  const Four sum = folded(value, Add());
  return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}
inline float largest_of(Vector value) {
  const Four four = folded(value, Larger());
  const Larger larger;
  return larger(larger(four[0], four[2]), larger(four[1], four[3]));
}

// Returns the given entries of `a`, whose numbers are 0 to 3, and `b`, 4 to 7.
template <int... kFrom>
inline Four picked(Four a, Four b) {
#if defined(__clang__)
  return __builtin_shufflevector(a, b, kFrom...);
#else
  typedef int32_t Numbers __attribute__((vector_size(16)));
  return __builtin_shuffle(a, b, Numbers{kFrom...});
#endif
}

// Returns the sums of the lanes of four vectors, each with the same bits as `sum_of`.
__attribute__((always_inline)) inline Four sums_of_four(const Vector* values) {
  const Four a = folded(values[0], Add()), b = folded(values[1], Add());
  const Four c = folded(values[2], Add()), d = folded(values[3], Add());
  // a0 + a2, b0 + b2, a1 + a3, b1 + b3
  const Four ab = picked<0, 4, 1, 5>(a, b) + picked<2, 6, 3, 7>(a, b);
  const Four cd = picked<0, 4, 1, 5>(c, d) + picked<2, 6, 3, 7>(c, d);
  return picked<0, 1, 4, 5>(ab, cd) + picked<2, 3, 6, 7>(ab, cd);
}

#if defined(__AVX512F__)
// Returns the lanes of `low` whose bits in kMask are 0, and of `high` where they are 1.
template <int kMask>
inline Vector blended(Vector low, Vector high) {
  return (Vector)_mm512_mask_blend_ps(kMask, (__m512)low, (__m512)high);
}

// Returns the sums of the lanes of sixteen vectors, each with the same bits as `sum_of`. Each step
// adds the halves of two vectors, or of all their halves, quarters and so on, and so leaves half as
// many vectors. Half of the moves between lanes are blends, which don't wait for the one unit that
// shuffles.
__attribute__((always_inline)) inline Vector sums_of_sixteen(const Vector* values) {
  constexpr __mmask16 kAll = 0xFFFF;  // the intrinsics without a mask make gcc 12 warn about them
  Vector eight[8], four[4], two[2];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    const auto a = (__m512)values[i], b = (__m512)values[i + 8];
    eight[i] = blended<0xFF00>(values[i], values[i + 8]) +
               (Vector)_mm512_maskz_shuffle_f32x4(kAll, a, b, 0x4E);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const auto others = (__m512)blended<0x0F0F>(eight[i], eight[i + 4]);
    four[i] = blended<0xF0F0>(eight[i], eight[i + 4]) +
              (Vector)_mm512_maskz_shuffle_f32x4(kAll, others, others, 0xB1);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    const auto a = (__m512)four[i], b = (__m512)four[i + 2];
    two[i] =
        blended<0xCCCC>(four[i], four[i + 2]) + (Vector)_mm512_maskz_shuffle_ps(kAll, a, b, 0x4E);
  }
  const auto others = (__m512)blended<0x5555>(two[0], two[1]);
  return blended<0xAAAA>(two[0], two[1]) + (Vector)_mm512_maskz_permute_ps(kAll, others, 0xB1);
}
#endif

// Writes the sums of the lanes of kCount vectors, each with the same bits as `sum_of`. Always
// inlined, as is what it calls: a call would need the vectors in memory, and they would then be
// written there in every turn of the loop that sums them up.
template <int kCount>
__attribute__((always_inline)) inline void write_sums(const Vector* values, float* sums) {
  int done = 0;
#if defined(__AVX512F__)
#pragma GCC unroll 4
  for (; done + 16 <= kCount; done += 16) store(sums + done, sums_of_sixteen(values + done));
#endif
#pragma GCC unroll 16
  for (; done + 4 <= kCount; done += 4) {
    const Four four = sums_of_four(values + done);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) sums[done + i] = four[i];
  }
#pragma GCC unroll 4
  for (; done < kCount; ++done) sums[done] = sum_of(values[done]);
}

// Returns e^x in each lane, for x <= 0. An x below -87 is taken as -87, where e^x is nearly the
// smallest normal float, and NaN stays NaN.
//
// x is split into n ln 2 + r, with an integer n and |r| <= ln 2 / 2. Then e^x = 2^n e^r. The Taylor
// series of e^r is summed up to r^7 / 7!; the first term left out is below 6e-9. The factor 2^n is
// made by writing n into the bits of a float's exponent.
inline Vector exponential(Vector x) {
  constexpr float kRounder = 12582912.0F;  // 1.5 * 2^23; adding it leaves n in the lowest bits
  const Vector least = all(-87.0F);
  x = x < least ? least : x;
  const Vector rounded = x * 1.44269504F + kRounder;
  const Vector n = rounded - kRounder;
  const Vector r = (x - n * 0.693145752F) - n * 1.42860677e-6F;
  Vector sum = all(1.0F / 5040.0F);
  sum = sum * r + 1.0F / 720.0F;
  sum = sum * r + 1.0F / 120.0F;
  sum = sum * r + 1.0F / 24.0F;
  sum = sum * r + 1.0F / 6.0F;
  sum = sum * r + 0.5F;
  sum = sum * r + 1.0F;
  sum = sum * r + 1.0F;
  return sum * (Vector)(((Integers)rounded + 127) << 23);
}

}  // namespace
}  // namespace levin::kernels
