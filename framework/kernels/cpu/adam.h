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

inline void adam_vector(const AdamStep& step, float* parameter, const float* gradient, float* mean,
                        float* mean_square) {
  const Vector old = load(parameter);
  const Vector g = load(gradient) * step.sign + old * step.weight_decay;
  const Vector new_mean = load(mean) + (g - load(mean)) * step.mean_weight;
  const Vector new_square = load(mean_square) * step.square_decay + g * g * step.square_weight;
  store(mean, new_mean);
  store(mean_square, new_square);
  const Vector denominator = root(new_square) * step.root_factor + step.eps;
  store(parameter, old * step.shrink - new_mean * step.rate * reciprocal(denominator));
}

// Every number goes through the same operations, wherever it is, so that a part of the parameters
// gets the bits that it gets with the others.
__attribute__((noinline)) void run_pass(const AdamStep& step) {
  int64_t i = 0;
  for (; i + kLanes <= step.count; i += kLanes) {
    adam_vector(step, step.parameter + i, step.gradient + i, step.mean + i, step.mean_square + i);
  }
  const int64_t left = step.count - i;
  if (left == 0) return;
  float parameter[kLanes] = {}, gradient[kLanes] = {}, mean[kLanes] = {}, mean_square[kLanes] = {};
  for (int64_t k = 0; k < left; ++k) {
    parameter[k] = step.parameter[i + k];
    gradient[k] = step.gradient[i + k];
    mean[k] = step.mean[i + k];
    mean_square[k] = step.mean_square[i + k];
  }
  adam_vector(step, parameter, gradient, mean, mean_square);
  for (int64_t k = 0; k < left; ++k) {
    step.parameter[i + k] = parameter[k];
    step.mean[i + k] = mean[k];
    step.mean_square[i + k] = mean_square[k];
  }
}

void adam_step(const AdamStep& step) {
  const DenormalsAreZero scope;
  run_pass(step);
}

}  // namespace
}  // namespace levin::kernels
