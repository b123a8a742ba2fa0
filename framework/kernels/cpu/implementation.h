#pragma once

// The loops themselves. Three files include this one (portable.cpp, avx2.cpp and avx512.cpp). Each
// is compiled for one kind of vector unit and sets LEVIN_LANES, the number of floats in a vector.
//
// Everything here is local to the including file, and nothing of the standard library is called. If
// an inline function with external linkage were compiled here, the linker might keep this copy of
// it for the whole program, which would then fail on machines that lack the vector unit.
//
// softmax_regression goes through the rows in blocks of rows_a_block rows, so that a block is still
// in the cache when its gradient is computed: take_rows, then run_block.
#include <levin/framework/kernels/cpu/kernels.h>
#include <levin/framework/kernels/cpu/layout.h>
#include <levin/framework/kernels/cpu/tiles.h>
#include <levin/framework/kernels/cpu/vectors.h>

namespace levin::kernels {
namespace {

constexpr int64_t kCacheLine = 64;

// --- loss ---

// Turns a row of logits into multiplier * (softmax - one hot) and returns its cross-entropy.
inline float softmax_row(float* z, int64_t label, const Shape& shape, float multiplier) {
  const float of_label = z[label];
  Vector largest = load(z);
  for (int64_t i = kLanes; i < shape.logits_stride; i += kLanes) {
    const Vector other = load(z + i);
    largest = largest < other ? other : largest;
  }
  float most = largest[0];
  for (int i = 1; i < kLanes; ++i) most = most < largest[i] ? largest[i] : most;
  Vector sums = {};
  for (int64_t i = 0; i < shape.logits_stride; i += kLanes) {
    const Vector e = exponential(load(z + i) - most);
    store(z + i, e);
    sums += e;
  }
  const float sum = sum_of(sums);
  const float factor = multiplier / sum;
  for (int64_t i = 0; i < shape.logits_stride; i += kLanes) store(z + i, load(z + i) * factor);
  z[label] -= multiplier;
  return __builtin_logf(sum) + most - of_label;
}

// --- rows ---

inline void convert_row(const uint8_t* bytes, int64_t count, float scale, float zero_point,
                        float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = (static_cast<float>(bytes[i]) - zero_point) * scale;
}

// The rows that are worked on together, at most 64.
struct Block {
  const float* rows[64];
  float* converted;  // [64, width], or null if rows are read in place
  float* logits;     // [64, logits_stride]
};

// Returns where row number `row` of the view begins, if a row takes `size` bytes.
inline const char* row_bytes(const RowView& rows, int64_t row, int64_t size) {
  const int64_t place = rows.numbers != nullptr ? rows.numbers[row] : row;
  return static_cast<const char*>(rows.data) + place * size;
}

// Points block.rows at `count` rows of the view, from row `first` on. If block.converted is set,
// these are copies as float32, padded with zeros to `width`; else the rows themselves. Prefetches
// the rows that come `ahead` rows later, which are those of the next block.
void take_rows(const RowView& rows, int64_t first, int64_t count, int64_t width, int64_t ahead,
               Block& block) {
  const bool is_bytes = rows.type == RowView::Type::scaled_bytes;
  const int64_t size = rows.row_size * (is_bytes ? 1 : 4);
  for (int64_t r = 0; r < count; ++r) {
    const char* row = row_bytes(rows, first + r, size);
    if (block.converted == nullptr) {
      block.rows[r] = reinterpret_cast<const float*>(row);
    } else {
      float* copy = block.converted + r * width;
      if (is_bytes) {
        convert_row(reinterpret_cast<const uint8_t*>(row), rows.row_size, rows.scale,
                    rows.zero_point, copy);
      } else {
        const auto* values = reinterpret_cast<const float*>(row);
        for (int64_t i = 0; i < rows.row_size; ++i) copy[i] = values[i];
      }
      for (int64_t i = rows.row_size; i < width; ++i) copy[i] = 0.0F;
      block.rows[r] = copy;
    }
    if (first + r + ahead >= rows.count) continue;
    const char* next = row_bytes(rows, first + r + ahead, size);
    for (int64_t i = 0; i < size; i += kCacheLine) __builtin_prefetch(next + i, 0, 2);
  }
}

// Computes logits, loss and gradients of a block of `count` rows, the first of which is row `first`
// of the view. `weight` and `gradient` are [classes, width]. Returns the sum of the rows' losses.
double run_block(const SoftmaxRegression& pass, int64_t first, int64_t count, const Shape& shape,
                 const float* weight, float* gradient, Block& block) {
  constexpr float kImpossible = -1e30F;  // for logits that only fill up the last vector
  for (int64_t r = 0; r < count; ++r) {
    float* z = block.logits + r * shape.logits_stride;
    for (int64_t c = 0; c < shape.classes; ++c) z[c] = pass.bias != nullptr ? pass.bias[c] : 0.0F;
    for (int64_t c = shape.classes; c < shape.logits_stride; ++c) z[c] = kImpossible;
  }
  add_logits(block.rows, count, weight, shape, block.logits);
  double loss = 0.0;
  for (int64_t r = 0; r < count; ++r) {
    float* z = block.logits + r * shape.logits_stride;
    loss += static_cast<double>(softmax_row(z, pass.labels[first + r], shape, pass.multiplier));
    if (pass.bias_gradient == nullptr) continue;
    for (int64_t c = 0; c < shape.classes; ++c) pass.bias_gradient[c] += z[c];
  }
  add_gradient(block.rows, count, block.logits, shape, gradient);
  return loss;
}

// Copies a matrix of `rows` rows into one with another width: columns are left out, or filled with
// zeros.
void copy_matrix(const float* from, int64_t from_width, float* to, int64_t to_width, int64_t rows) {
  const int64_t shared = from_width < to_width ? from_width : to_width;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < shared; ++i) to[r * to_width + i] = from[r * from_width + i];
    for (int64_t i = shared; i < to_width; ++i) to[r * to_width + i] = 0.0F;
  }
}

// Kernels::softmax_regression. If the rows aren't whole vectors, the weights and their gradient are
// copied into padded matrices first, and the gradient is copied back at the end.
double softmax_regression(const SoftmaxRegression& pass) {
  const RowView& rows = pass.rows;
  const int64_t features = rows.row_size;
  const bool is_whole = features % kLanes == 0;
  const Shape shape = {pass.classes, is_whole ? features : padded(features), padded(pass.classes)};
  const int64_t step = rows_a_block(padded(features));
  float* scratch = pass.scratch;
  const auto take = [&scratch](int64_t floats) {
    float* taken = scratch;
    scratch += floats;
    return taken;
  };
  Block block;
  block.logits = take(step * shape.logits_stride);
  const bool is_read_in_place = is_whole && rows.type == RowView::Type::float32;
  block.converted = is_read_in_place ? nullptr : take(step * padded(features));
  const float* weight = pass.weight;
  float* gradient = pass.weight_gradient;
  if (!is_whole) {
    float* copy = take(shape.classes * shape.width);
    copy_matrix(pass.weight, features, copy, shape.width, shape.classes);
    weight = copy;
    gradient = take(shape.classes * shape.width);
    copy_matrix(pass.weight_gradient, features, gradient, shape.width, shape.classes);
  }
  double loss = 0.0;
  for (int64_t first = 0; first < rows.count; first += step) {
    const int64_t count = rows.count - first < step ? rows.count - first : step;
    take_rows(rows, first, count, shape.width, step, block);
    loss += run_block(pass, first, count, shape, weight, gradient, block);
  }
  if (!is_whole) {
    copy_matrix(gradient, shape.width, pass.weight_gradient, features, shape.classes);
  }
  return loss;
}

}  // namespace
}  // namespace levin::kernels
