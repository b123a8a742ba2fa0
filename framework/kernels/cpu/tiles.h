#pragma once

// The two matrix products of a linear layer for a block of rows: its outputs, which are the logits
// if it is the last layer, and the gradient of its weights. Both work on tiles of a few rows and
// classes at a time, so that all sums of a tile stay in registers. The sizes of a tile are template
// parameters, so that the compiler can unroll the loops over them. Only implementation.h includes
// this file.
//
// In all functions: `x` points to the rows, each of shape.width values, which are whole vectors;
// the values are floats, or bytes that are converted to floats where they are needed. `w` has the
// weights as `pack` orders them; `gradient` is [classes, width], row-major; `z` and `g` are [rows,
// logits_stride], row-major; `ahead` is asked for a cache line of the next rows in each turn of an
// inner loop.
#include <levin/framework/kernels/cpu/rows.h>
#include <levin/framework/kernels/cpu/vectors.h>

namespace levin::kernels {
namespace {

// The sizes of a tile, whose sums all stay in registers. AVX-512 and 64-bit ARM have 32 vector
// registers, the others 16. With ten classes at once, no byte of a row has to be converted twice if
// there are at most ten classes; floats are better read for more rows at once.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kClassesAtOnce = 10;
template <class Value>
constexpr int kRowsOfLogits = sizeof(Value) == 1 ? 2 : 4;
template <class Value>
constexpr int kClassesOfLogits = sizeof(Value) == 1 ? 10 : 5;
#else
constexpr int kClassesAtOnce = 5;
template <class Value>
constexpr int kRowsOfLogits = 2;
template <class Value>
constexpr int kClassesOfLogits = 5;
#endif
constexpr int kVectorsAtOnce = 2;

// The sizes of a pass; the width and the stride are whole vectors.
struct Shape {
  int64_t classes;
  int64_t width;          // from one row of weights to the next, in floats
  int64_t logits_stride;  // from one row of logits to the next, in floats
};

// --- logits: z[r][c] = x[r] . w[c] ---

// Writes the products of kRows rows with the weights of kClasses classes to `z`.
template <int kRows, int kClasses, class Value>
inline void logits_tile(const Value* const* x, const float* w, const Shape& shape, Ahead& ahead,
                        float* z) {
  constexpr int kSums = kRows * kClasses;
  Vector sums[kSums] = {};
  for (int64_t i = 0; i < shape.width; i += kLanes) {
    ahead.fetch_line();
    Vector values[kRows];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) values[r] = load(x[r] + i);
#pragma GCC unroll 16
    for (int c = 0; c < kClasses; ++c) {
      const Vector weights = load(w + i * kClasses + c * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) sums[r * kClasses + c] += values[r] * weights;
    }
  }
  float products[kSums];
  write_sums<kSums>(sums, products);
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int c = 0; c < kClasses; ++c) {
      z[r * shape.logits_stride + c] = products[r * kClasses + c];
    }
  }
}

// The same for any number of rows: whole tiles first, then the rows that are left one by one.
template <int kClasses, class Value>
void logits(const Value* const* x, int64_t rows, const float* w, const Shape& shape, Ahead& ahead,
            float* z) {
  int64_t r = 0;
  constexpr int kRows = kRowsOfLogits<Value>;
  for (; r + kRows <= rows; r += kRows) {
    logits_tile<kRows, kClasses>(x + r, w, shape, ahead, z + r * shape.logits_stride);
  }
  for (; r < rows; ++r) {
    logits_tile<1, kClasses>(x + r, w, shape, ahead, z + r * shape.logits_stride);
  }
}

// --- gradient: G[c] += sum over r of g[r][c] * x[r] ---

// Adds the products with all rows to kVectors vectors, from column `at` on, of the gradient of
// kClasses classes. The gradient is read and written once, however many rows there are.
template <int kVectors, int kClasses, class Value>
inline void gradient_tile(const Value* const* x, int64_t rows, int64_t at, const float* g,
                          const Shape& shape, Ahead& ahead, float* gradient) {
  Vector sums[kClasses][kVectors];
#pragma GCC unroll 16
  for (int c = 0; c < kClasses; ++c) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      sums[c][v] = load(gradient + c * shape.width + at + v * kLanes);
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    ahead.fetch_line();
    Vector values[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) values[v] = load(x[r] + at + v * kLanes);
#pragma GCC unroll 16
    for (int c = 0; c < kClasses; ++c) {
      const Vector factor = all(g[r * shape.logits_stride + c]);
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sums[c][v] += factor * values[v];
    }
  }
#pragma GCC unroll 16
  for (int c = 0; c < kClasses; ++c) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      store(gradient + c * shape.width + at + v * kLanes, sums[c][v]);
    }
  }
}

// The same for kClasses classes and all columns: whole tiles first, then the vectors that are left
// one by one.
template <int kClasses, class Value>
void gradient_of(const Value* const* x, int64_t rows, const float* g, const Shape& shape,
                 Ahead& ahead, float* gradient) {
  int64_t at = 0;
  for (; at + kVectorsAtOnce * kLanes <= shape.width; at += kVectorsAtOnce * kLanes) {
    gradient_tile<kVectorsAtOnce, kClasses>(x, rows, at, g, shape, ahead, gradient);
  }
  for (; at < shape.width; at += kLanes) {
    gradient_tile<1, kClasses>(x, rows, at, g, shape, ahead, gradient);
  }
}

// --- all classes, a few at a time ---

// Calls `work.template operator()<size>(first)`; `size` is from 1 to kMost.
template <int kMost, class Work>
inline void with_size(int64_t size, int64_t first, const Work& work) {
  if constexpr (kMost > 1) {
    if (size < kMost) return with_size<kMost - 1>(size, first, work);
  }
  work.template operator()<kMost>(first);
}

// Calls `work.template operator()<n>(first)` for groups of n classes, at most kMost each and of
// nearly the same size.
template <int kMost, class Work>
inline void for_classes(int64_t classes, const Work& work) {
  const int64_t groups = (classes + kMost - 1) / kMost;
  for (int64_t group = 0; group < groups; ++group) {
    const int64_t first = classes * group / groups;
    with_size<kMost>(classes * (group + 1) / groups - first, first, work);
  }
}

// Writes the weights of all classes, [classes, columns], in the order in which set_logits reads
// them: for each group of classes, the first vector of each class, then the second one of each, and
// so on. The last vector is filled up with zeros. The row `base` is subtracted from those of all
// classes, unless it is null.
template <class Value>
void pack(const float* weight, const float* base, int64_t columns, const Shape& shape,
          float* packed) {
  for_classes<kClassesOfLogits<Value>>(shape.classes, [&]<int kClasses>(int64_t first) {
    float* to = packed + first * shape.width;
    for (int64_t i = 0; i < shape.width; i += kLanes) {
      for (int c = 0; c < kClasses; ++c, to += kLanes) {
        const float* from = weight + (first + c) * columns + i;
        if (i + kLanes <= columns) {
          store(to, base == nullptr ? load(from) : load(from) - load(base + i));
        } else {
          for (int64_t k = 0; k < kLanes; ++k) {
            const float subtracted = base == nullptr || i + k >= columns ? 0.0F : base[i + k];
            to[k] = i + k < columns ? from[k] - subtracted : 0.0F;
          }
        }
      }
    }
  });
}

// Writes the logits of all rows and classes to `z`.
template <class Value>
void set_logits(const Value* const* x, int64_t rows, const float* w, const Shape& shape,
                Ahead& ahead, float* z) {
  for_classes<kClassesOfLogits<Value>>(shape.classes, [&]<int kClasses>(int64_t first) {
    logits<kClasses>(x, rows, w + first * shape.width, shape, ahead, z + first);
  });
}

// Adds the gradient of all classes.
template <class Value>
void add_gradient(const Value* const* x, int64_t rows, const float* g, const Shape& shape,
                  Ahead& ahead, float* gradient) {
  for_classes<kClassesAtOnce>(shape.classes, [&]<int kClasses>(int64_t first) {
    gradient_of<kClasses>(x, rows, g + first, shape, ahead, gradient + first * shape.width);
  });
}

}  // namespace
}  // namespace levin::kernels
