#pragma once

// The two matrix products of a pass over a block of rows: the logits, and the gradient of the
// weights. Both work on tiles of a few rows and classes at a time, so that all sums of a tile stay
// in registers. The sizes of a tile are template parameters, so that the compiler can unroll the
// loops over them. Only implementation.h includes this file.
//
// In all functions: `x` points to the rows, each of shape.width floats, which are whole vectors;
// `w` and `gradient` are [classes, width], row-major; `z` and `g` are [rows, logits_stride],
// row-major.
#include <levin/framework/kernels/cpu/vectors.h>

namespace levin::kernels {
namespace {

// A tile of logits has kRowsAtOnce * kClassesAtOnce sums, each in a register. AVX-512 and 64-bit
// ARM have 32 vector registers, the others 16.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kRowsAtOnce = 4;
#else
constexpr int kRowsAtOnce = 2;
#endif
constexpr int kClassesAtOnce = 5;

// The sizes of a pass; the width and the stride are whole vectors.
struct Shape {
  int64_t classes;
  int64_t width;          // from one row of weights to the next, in floats
  int64_t logits_stride;  // from one row of logits to the next, in floats
};

// --- logits: z[r][c] += x[r] . w[c] ---

// Adds the products of kRows rows with the weights of kClasses classes to `z`.
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

// The same for any number of rows: whole tiles first, then the rows that are left one by one.
template <int kClasses>
void logits(const float* const* x, int64_t rows, const float* w, const Shape& shape, float* z) {
  int64_t r = 0;
  for (; r + kRowsAtOnce <= rows; r += kRowsAtOnce) {
    logits_tile<kRowsAtOnce, kClasses>(x + r, w, shape, z + r * shape.logits_stride);
  }
  for (; r < rows; ++r) logits_tile<1, kClasses>(x + r, w, shape, z + r * shape.logits_stride);
}

// --- gradient: G[c] += sum over r of g[r][c] * x[r] ---

// Adds the products with all rows to kVectors vectors, from column `at` on, of the gradient of
// kClasses classes. The gradient is read and written once, however many rows there are.
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

// The same with the number of vectors, 1 or 2, chosen when the program runs.
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

// Adds the logits of all rows and classes to `z`, kClassesAtOnce classes at a time and then those
// that are left.
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

// Adds the gradient of all classes: two vectors of columns at a time, and in them kClassesAtOnce
// classes at a time.
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
