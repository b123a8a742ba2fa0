#pragma once

// Vectors of LEVIN_LANES floats, by the vector extensions of gcc and clang: the operators +, *, <
// and ?: work on all lanes at once. Used by tiles.h and implementation.h, in the files that are
// compiled for one vector unit each; implementation.h says why everything is local to those files.
#include <cstdint>

namespace levin::kernels {
namespace {

// The number of floats in a vector: 4, 8 or 16.
constexpr int kLanes = LEVIN_LANES;

// A vector in a register, the same as integers, and a vector that lies anywhere in an array of
// floats, without alignment.
typedef float Vector __attribute__((vector_size(kLanes * 4)));
typedef int32_t Integers __attribute__((vector_size(kLanes * 4)));
typedef float InMemory __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));

// Reads and writes kLanes floats at any address; `all` has the same number in every lane.
inline Vector load(const float* from) { return *reinterpret_cast<const InMemory*>(from); }
inline void store(float* to, Vector value) { *reinterpret_cast<InMemory*>(to) = value; }
inline Vector all(float value) { return Vector{} + value; }

// Returns the sum of the lanes. The order of the additions depends on kLanes, so the last bits may
// differ from one vector unit to another.
inline float sum_of(Vector value) {
#if LEVIN_LANES > 4
  // Adding the parts first takes fewer steps than adding lane after lane.
  typedef float Four __attribute__((vector_size(16)));
  union {
    Vector whole;
    Four parts[kLanes / 4];
  } split = {value};
  Four sum = split.parts[0];
  for (int i = 1; i < kLanes / 4; ++i) sum += split.parts[i];
#else
  const Vector sum = value;
#endif
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
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
