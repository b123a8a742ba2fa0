#pragma once

// The two matrix products of a pass. They take a few rows and classes at a time, so that the sums
// stay in registers. Only implementation.h includes this file.
#include <levin/framework/kernels/cpu/vectors.h>

namespace levin::kernels {
namespace {

// As many rows at once as leave room in the registers, of which there are 32 with AVX-512 and on
// ARM, else 16.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kRowsAtOnce = 4;
#else
constexpr int kRowsAtOnce = 2;
#endif
constexpr int kClassesAtOnce = 5;

// The sizes of a pass; the width and the stride are whole vectors.
struct Shape {
  int64_t classes;
  int64_t width;          // of a row of weights, in floats
  int64_t logits_stride;  // of a row of logits
};

// --- logits: z[r][c] += x[r] . w[c] ---

template <int kRows, int kClasses>
inline void logits_tile(const float* const* x, const float* w, const Shape& shape, float* z) {
  Vector sums[kRows][kClasses] = {};
  for (int64_t i = 0; i < shape.width; i += kLanes) {
    Vector values[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) values[r] = load(x[r] + i);
#pragma GCC unroll 8
    for (int c = 0; c < kClasses; ++c) {
      const Vector weights = load(w + c * shape.width + i);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) sums[r][c] += values[r] * weights;
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kClasses; ++c) z[r * shape.logits_stride + c] += sum_of(sums[r][c]);
  }
}

template <int kClasses>
void logits(const float* const* x, int64_t rows, const float* w, const Shape& shape, float* z) {
  int64_t r = 0;
  for (; r + kRowsAtOnce <= rows; r += kRowsAtOnce) {
    logits_tile<kRowsAtOnce, kClasses>(x + r, w, shape, z + r * shape.logits_stride);
  }
  for (; r < rows; ++r) logits_tile<1, kClasses>(x + r, w, shape, z + r * shape.logits_stride);
}

// --- gradient: G[c] += sum over r of g[r][c] * x[r] ---

template <int kVectors, int kClasses>
inline void gradient_tile(const float* const* x, int64_t rows, int64_t at, const float* g,
                          const Shape& shape, float* gradient) {
  Vector sums[kClasses][kVectors];
#pragma GCC unroll 8
  for (int c = 0; c < kClasses; ++c) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      sums[c][v] = load(gradient + c * shape.width + at + v * kLanes);
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    Vector values[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) values[v] = load(x[r] + at + v * kLanes);
#pragma GCC unroll 8
    for (int c = 0; c < kClasses; ++c) {
      const Vector factor = all(g[r * shape.logits_stride + c]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[c][v] += factor * values[v];
    }
  }
#pragma GCC unroll 8
  for (int c = 0; c < kClasses; ++c) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      store(gradient + c * shape.width + at + v * kLanes, sums[c][v]);
    }
  }
}

template <int kClasses>
void gradient_columns(const float* const* x, int64_t rows, int64_t at, int64_t vectors,
                      const float* g, const Shape& shape, float* gradient) {
  if (vectors == 2) {
    gradient_tile<2, kClasses>(x, rows, at, g, shape, gradient);
  } else {
    gradient_tile<1, kClasses>(x, rows, at, g, shape, gradient);
  }
}

// --- all classes, a few at a time ---

void add_logits(const float* const* x, int64_t rows, const float* weight, const Shape& shape,
                float* z) {
  for (int64_t c = 0; c < shape.classes; c += kClassesAtOnce) {
    const float* w = weight + c * shape.width;
    switch (shape.classes - c) {
      case 1:
        logits<1>(x, rows, w, shape, z + c);
        break;
      case 2:
        logits<2>(x, rows, w, shape, z + c);
        break;
      case 3:
        logits<3>(x, rows, w, shape, z + c);
        break;
      case 4:
        logits<4>(x, rows, w, shape, z + c);
        break;
      default:
        logits<kClassesAtOnce>(x, rows, w, shape, z + c);
    }
  }
}

void add_gradient(const float* const* x, int64_t rows, const float* g, const Shape& shape,
                  float* gradient) {
  for (int64_t at = 0; at < shape.width; at += 2 * kLanes) {
    const int64_t vectors = at + kLanes < shape.width ? 2 : 1;
    for (int64_t c = 0; c < shape.classes; c += kClassesAtOnce) {
      float* to = gradient + c * shape.width;
      switch (shape.classes - c) {
        case 1:
          gradient_columns<1>(x, rows, at, vectors, g + c, shape, to);
          break;
        case 2:
          gradient_columns<2>(x, rows, at, vectors, g + c, shape, to);
          break;
        case 3:
          gradient_columns<3>(x, rows, at, vectors, g + c, shape, to);
          break;
        case 4:
          gradient_columns<4>(x, rows, at, vectors, g + c, shape, to);
          break;
        default:
          gradient_columns<kClassesAtOnce>(x, rows, at, vectors, g + c, shape, to);
      }
    }
  }
}

}  // namespace
}  // namespace levin::kernels
