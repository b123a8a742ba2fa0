#pragma once

// Vectors of LEVIN_LANES floats, for the files that are compiled for one vector unit each;
// implementation.h says why everything is local to those files.
#include <cstdint>

namespace levin::kernels {
namespace {

constexpr int kLanes = LEVIN_LANES;

typedef float Vector __attribute__((vector_size(kLanes * 4)));
typedef int32_t Integers __attribute__((vector_size(kLanes * 4)));
typedef float InMemory __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));

inline Vector load(const float* from) { return *reinterpret_cast<const InMemory*>(from); }
inline void store(float* to, Vector value) { *reinterpret_cast<InMemory*>(to) = value; }
inline Vector all(float value) { return Vector{} + value; }

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

// e^x for x <= 0; x below -87 counts as -87, and NaN stays NaN. Splits x into n ln 2 + r with
// |r| <= ln 2 / 2 and sums the Taylor series of e^r, whose first term left out is below 6e-9.
inline Vector exponential(Vector x) {
  constexpr float kRounder = 12582912.0F;  // 1.5 * 2^23: adding it leaves n in the lowest bits
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
