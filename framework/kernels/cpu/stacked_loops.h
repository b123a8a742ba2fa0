#pragma once

// The loops of stacked.h. Three files include this one (stacked_portable.cpp, stacked_avx2.cpp and
// stacked_avx512.cpp), each of which is compiled for one kind of vector unit and sets LEVIN_LANES.
// implementation.h says why everything is local to those files.
#include <levin/framework/kernels/cpu/denormals.h>
#include <levin/framework/kernels/cpu/stacked.h>
#include <levin/framework/kernels/cpu/stacked_softmax_loops.h>
#include <levin/framework/kernels/cpu/tiles.h>
#include <levin/framework/kernels/cpu/vectors.h>

namespace levin::kernels {
namespace {

// --- outputs: out[c] = bias[c] + sum over f of weight[c][f] * columns[f] ---

// Writes kVectors vectors of the outputs of kClasses classes. `x` and `out` point to the first of
// these vectors, `w` to the weights of the first class.
template <int kVectors, int kClasses>
inline void stacked_logits_tile(const StackedOutputs& pass, const float* x, const float* w,
                                const float* bias, float* out) {
  Vector sums[kClasses][kVectors];
#pragma GCC unroll 16
  for (int c = 0; c < kClasses; ++c) {
    const Vector first = all(bias == nullptr ? 0.0F : bias[c]);
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) sums[c][v] = first;
  }
  for (int64_t f = 0; f < pass.features; ++f, x += pass.stride) {
    Vector values[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) values[v] = load(x + v * kLanes);
#pragma GCC unroll 16
    for (int c = 0; c < kClasses; ++c) {
      const Vector factor = all(w[c * pass.features + f]);
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sums[c][v] += factor * values[v];
    }
  }
#pragma GCC unroll 16
  for (int c = 0; c < kClasses; ++c) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) store(out + c * pass.out_stride + v * kLanes, sums[c][v]);
  }
}

__attribute__((noinline)) void run_pass(const StackedOutputs& pass) {
  const int64_t end = padded_rows(pass.rows);
  for_classes<kClassesAtOnce>(pass.outputs, [&]<int kClasses>(int64_t first) {
    const float* w = pass.weight + first * pass.features;
    const float* bias = pass.bias == nullptr ? nullptr : pass.bias + first;
    float* out = pass.out + first * pass.out_stride;
    int64_t row = 0;
    for (; row + kVectorsAtOnce * kLanes <= end; row += kVectorsAtOnce * kLanes) {
      stacked_logits_tile<kVectorsAtOnce, kClasses>(pass, pass.columns + row, w, bias, out + row);
    }
    for (; row < end; row += kLanes) {
      stacked_logits_tile<1, kClasses>(pass, pass.columns + row, w, bias, out + row);
    }
  });
}

// --- gradients: G[c] = sum over r of gradient[c][r] * input[r] ---

// Writes kVectors vectors of the gradient of kClasses classes, from column `at` on, to `out`, whose
// rows are `out_stride` apart. `g` points to the gradient of the first class.
template <int kVectors, int kClasses>
inline void stacked_gradient_tile(const StackedGradients& pass, const float* g, int64_t at,
                                  float* out, int64_t out_stride) {
  Vector sums[kClasses][kVectors] = {};
  const float* x = pass.input + at;
  for (int64_t r = 0; r < pass.rows; ++r, x += pass.width) {
    Vector values[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) values[v] = load(x + v * kLanes);
#pragma GCC unroll 16
    for (int c = 0; c < kClasses; ++c) {
      const Vector factor = all(g[c * pass.stride + r]);
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sums[c][v] += factor * values[v];
    }
  }
#pragma GCC unroll 16
  for (int c = 0; c < kClasses; ++c) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) store(out + c * out_stride + v * kLanes, sums[c][v]);
  }
}

__attribute__((noinline)) void run_pass(const StackedGradients& pass) {
  for_classes<kClassesAtOnce>(pass.outputs, [&]<int kClasses>(int64_t first) {
    const float* g = pass.gradient + first * pass.stride;
    float* out = pass.weight_gradient + first * pass.features;
    int64_t at = 0;
    for (; at + kVectorsAtOnce * kLanes <= pass.features; at += kVectorsAtOnce * kLanes) {
      stacked_gradient_tile<kVectorsAtOnce, kClasses>(pass, g, at, out + at, pass.features);
    }
    for (; at + kLanes <= pass.features; at += kLanes) {
      stacked_gradient_tile<1, kClasses>(pass, g, at, out + at, pass.features);
    }
    if (at == pass.features) return;
    float last[kClasses * kLanes];  // a vector of which only some lanes are features
    stacked_gradient_tile<1, kClasses>(pass, g, at, last, kLanes);
    for (int c = 0; c < kClasses; ++c) {
      for (int64_t i = at; i < pass.features; ++i) {
        out[c * pass.features + i] = last[c * kLanes + i - at];
      }
    }
  });
  if (pass.bias_gradient == nullptr) return;
  for (int64_t c = 0; c < pass.outputs; ++c) {
    Vector sum = {};
    const float* g = pass.gradient + c * pass.stride;
    for (int64_t r = 0; r < padded_rows(pass.rows); r += kLanes) sum += load(g + r);
    pass.bias_gradient[c] = sum_of(sum);
  }
}

// --- SGD ---

template <class Lanes>
inline void sgd_vector(const SgdStep& step, int64_t i, const Lanes& lanes) {
  const Vector old = lanes.load_at(step.parameter + i);
  const Vector g = lanes.load_at(step.gradient + i) * step.sign + old * step.weight_decay;
  lanes.store_at(step.parameter + i, old - g * step.rate);
}

__attribute__((noinline)) void run_pass(const SgdStep& step) {
  int64_t i = 0;
  for (; i + kLanes <= step.count; i += kLanes) sgd_vector(step, i, WholeVectors());
  if (i < step.count) sgd_vector(step, i, FirstLanes{step.count - i});
}

// --- the kernels ---

// Each calls a function that isn't inlined, because of DenormalsAreZero.
void stacked_outputs(const StackedOutputs& pass) {
  const DenormalsAreZero scope;
  run_pass(pass);
}
double stacked_softmax(const StackedSoftmax& pass) {
  const DenormalsAreZero scope;
  return run_pass(pass);
}
StackedScore stacked_score(const StackedSoftmax& pass) {
  const DenormalsAreZero scope;
  return run_score(pass);
}
void stacked_gradients(const StackedGradients& pass) {
  const DenormalsAreZero scope;
  run_pass(pass);
}

void stacked_sgd_step(const SgdStep& step) {
  const DenormalsAreZero scope;
  run_pass(step);
}

}  // namespace
}  // namespace levin::kernels

// The members of a StackedKernels behind its name.
#define LEVIN_STACKED_KERNELS \
  stacked_outputs, stacked_softmax, stacked_score, stacked_gradients, stacked_sgd_step
