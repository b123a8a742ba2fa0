#pragma once

// The step of Adam. Only implementation.h includes this file.
#include <levin/framework/kernels/cpu/denormals.h>
#include <levin/framework/kernels/cpu/kernels.h>
#include <levin/framework/kernels/cpu/vectors.h>

namespace levin::kernels {
namespace {

// The square root of numbers that are at least 0, and 1 / x for numbers above 0, with an error of
// at most two units in the last place. The processor's own square root and division take several
// times as long as everything else of a step. An estimate of 14 bits and a step of Newton's method
// give 28. Numbers beyond the range of the estimate are taken as its ends: the root of 0 is 0, that
// of infinity is infinite, and its reciprocal is 0. NaN stays NaN.
#if defined(__AVX512F__)
inline Vector root(Vector x) {
  Vector within = x < 1e-37F ? all(1e-37F) : x;
  within = within > 1e38F ? all(1e38F) : within;
  const auto estimate = (Vector)_mm512_maskz_rsqrt14_ps(0xFFFF, (__m512)within);
  return x * (estimate * (1.5F - 0.5F * within * estimate * estimate));
}
inline Vector reciprocal(Vector x) {
  const Vector within = x > 1e38F ? all(1e38F) : x;
  const auto estimate = (Vector)_mm512_maskz_rcp14_ps(0xFFFF, (__m512)within);
  const Vector exact = estimate * (2.0F - within * estimate);
  return x > 1e38F ? Vector{} : exact;
}
#else
inline Vector root(Vector x) {
  for (int i = 0; i < kLanes; ++i) x[i] = __builtin_sqrtf(x[i]);
  return x;
}
inline Vector reciprocal(Vector x) { return 1.0F / x; }
#endif

// Changes the numbers from i on that `lanes` reads and writes.
template <class Lanes>
inline void adam_vector(const AdamStep& step, int64_t i, const Lanes& lanes) {
  const Vector old = lanes.load_at(step.parameter + i);
  const Vector g = lanes.load_at(step.gradient + i) * step.sign + old * step.weight_decay;
  const Vector mean = lanes.load_at(step.mean + i);
  const Vector new_mean = mean + (g - mean) * step.mean_weight;
  const Vector new_square =
      lanes.load_at(step.mean_square + i) * step.square_decay + g * g * step.square_weight;
  lanes.store_at(step.mean + i, new_mean);
  lanes.store_at(step.mean_square + i, new_square);
  const Vector denominator = root(new_square) * step.root_factor + step.eps;
  lanes.store_at(step.parameter + i,
                 old * step.shrink - new_mean * step.rate * reciprocal(denominator));
}

// Every number goes through the same operations, wherever it is, so that a part of the parameters
// gets the bits that it gets with the others.
__attribute__((noinline)) void run_pass(const AdamStep& step) {
  int64_t i = 0;
  for (; i + kLanes <= step.count; i += kLanes) adam_vector(step, i, WholeVectors());
  if (i < step.count) adam_vector(step, i, FirstLanes{step.count - i});
}

void adam_step(const AdamStep& step) {
  const DenormalsAreZero scope;
  run_pass(step);
}

}  // namespace
}  // namespace levin::kernels
