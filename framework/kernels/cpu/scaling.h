#pragma once

// How products of linear layers with bytes become those with the numbers that the bytes stand for,
// and sums of floats. Only files that are compiled for one vector unit include this one.
#include <levin/framework/kernels/cpu/rows.h>
#include <levin/framework/kernels/cpu/vectors.h>

namespace levin::kernels {
namespace {

void add(const float* from, int64_t count, float* to) {
  for (int64_t i = 0; i < count; ++i) to[i] += from[i];
}

inline float sum_of(const float* numbers, int64_t count) {
  float sums[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) sums[i % kLanes] += numbers[i];
  return sum_of(load(sums));
}

// Bytes are worked on as they are. With x = (byte - zero_point) * scale,
//   x . w = scale * byte . w - shift * sum(w), where shift = scale * zero_point,
// and the same holds for the gradient of the weights, with the gradient of the bias for the sum.
struct Scaling {
  float scale = 1.0F;
  float shift = 0.0F;

  explicit Scaling(const RowView& rows) {
    if (!has_bytes(rows)) return;
    scale = rows.scale;
    shift = rows.scale * rows.zero_point;
  }
};

// Writes what is added to the products with each row of `weight` [outputs, features]: `bias`, if
// there is one, and what bytes are shifted by.
inline void write_bias(const float* bias, const float* weight, int64_t outputs, int64_t features,
                       float shift, float* out) {
  for (int64_t k = 0; k < outputs; ++k) {
    out[k] = bias != nullptr ? bias[k] : 0.0F;
    if (shift != 0.0F) out[k] -= shift * sum_of(weight + k * features, features);
  }
}

// Makes products with rows of bytes, [rows, stride], outputs: multiplies them by `scale` and adds
// what write_bias wrote.
inline void scale_and_add(const float* bias, int64_t outputs, int64_t rows, int64_t stride,
                          float scale, float* out) {
  for (int64_t r = 0; r < rows; ++r, out += stride) {
    for (int64_t k = 0; k < outputs; ++k) out[k] = out[k] * scale + bias[k];
  }
}

// Completes the gradient of weights, [outputs, features], to which products with bytes were added.
// `sums`: the sums of the gradient of the outputs over the rows.
inline void shift_gradient(float* gradient, int64_t outputs, int64_t features, float shift,
                           const float* sums) {
  for (int64_t k = 0; k < outputs && shift != 0.0F; ++k) {
    float* row = gradient + k * features;
    for (int64_t i = 0; i < features; ++i) row[i] -= shift * sums[k];
  }
}

}  // namespace
}  // namespace levin::kernels
