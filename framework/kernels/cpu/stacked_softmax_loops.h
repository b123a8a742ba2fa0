#pragma once

// The part of stacked_loops.h, which includes it, about softmax and its loss.
#include <levin/framework/kernels/cpu/stacked.h>
#include <levin/framework/kernels/cpu/tiles.h>
#include <levin/framework/kernels/cpu/vectors.h>

namespace levin::kernels {
namespace {

// The numbers 0, 1, 2 ... of the lanes.
inline Integers lane_numbers() {
  Integers numbers;
  for (int i = 0; i < kLanes; ++i) numbers[i] = i;
  return numbers;
}

// The largest output in each lane, and the sums of e to the power of the outputs less that.
struct LanesOfSoftmax {
  Vector largest;
  Vector sums;
};

inline Vector largest_output(const StackedSoftmax& pass, const float* outputs) {
  Vector largest = load(outputs);
  for (int64_t c = 1; c < pass.classes; ++c) {
    largest = Larger()(largest, load(outputs + c * pass.stride));
  }
  return largest;
}

// Returns the sum of the cross-entropies of the first `count` lanes, whose outputs at their labels
// are `of_labels`. log a + log b = log(a b), as in softmax.h.
inline double sum_of_losses(const LanesOfSoftmax& lanes, const float* of_labels, int64_t count) {
  float largest[kLanes], sums[kLanes];
  store(largest, lanes.largest);
  store(sums, lanes.sums);
  double product = 1.0;
  double rest = 0.0;
  for (int64_t i = 0; i < count; ++i) {
    product *= static_cast<double>(sums[i]);
    rest += static_cast<double>(largest[i] - of_labels[i]);
  }
  return __builtin_log(product) + rest;
}

// Copies the outputs of some rows at their labels. `z` points to the outputs of the first class.
inline void copy_of_labels(const float* z, int64_t stride, const int64_t* labels, int64_t count,
                           float* of_labels) {
  for (int64_t i = 0; i < count; ++i) of_labels[i] = z[labels[i] * stride + i];
}

__attribute__((noinline)) double run_pass(const StackedSoftmax& pass) {
  double total = 0.0;
  for (int64_t first = 0; first < pass.rows; first += kLanes) {
    float* const z = pass.outputs + first;
    const int64_t count = pass.rows - first < kLanes ? pass.rows - first : kLanes;
    LanesOfSoftmax lanes = {largest_output(pass, z), {}};
    float of_labels[kLanes];
    copy_of_labels(z, pass.stride, pass.labels + first, count, of_labels);
    for (int64_t c = 0; c < pass.classes; ++c) {
      const Vector e = exponential(load(z + c * pass.stride) - lanes.largest);
      store(z + c * pass.stride, e);
      lanes.sums += e;
    }
    total += sum_of_losses(lanes, of_labels, count);
    const Vector factor =
        lane_numbers() < static_cast<int32_t>(count) ? all(pass.multiplier) / lanes.sums : Vector{};
    for (int64_t c = 0; c < pass.classes; ++c) {
      store(z + c * pass.stride, load(z + c * pass.stride) * factor);
    }
    for (int64_t i = 0; i < count; ++i) {
      z[pass.labels[first + i] * pass.stride + i] -= pass.multiplier;
    }
  }
  for (int64_t at = (pass.rows + kLanes - 1) / kLanes * kLanes; at < padded_rows(pass.rows);
       at += kLanes) {
    for (int64_t c = 0; c < pass.classes; ++c) store(pass.outputs + c * pass.stride + at, Vector{});
  }
  return total;
}

__attribute__((noinline)) StackedScore run_score(const StackedSoftmax& pass) {
  StackedScore score;
  for (int64_t first = 0; first < pass.rows; first += kLanes) {
    const float* const z = pass.outputs + first;
    const int64_t count = pass.rows - first < kLanes ? pass.rows - first : kLanes;
    Vector largest = load(z);
    Integers places = {};
    for (int64_t c = 1; c < pass.classes; ++c) {
      const Vector own = load(z + c * pass.stride);
      const Integers is_larger = own > largest;
      largest = is_larger ? own : largest;
      places = is_larger ? Integers{} + static_cast<int32_t>(c) : places;
    }
    LanesOfSoftmax lanes = {largest_output(pass, z), {}};
    for (int64_t c = 0; c < pass.classes; ++c) {
      lanes.sums += exponential(load(z + c * pass.stride) - lanes.largest);
    }
    float of_labels[kLanes];
    copy_of_labels(z, pass.stride, pass.labels + first, count, of_labels);
    score.loss += sum_of_losses(lanes, of_labels, count);
    for (int64_t i = 0; i < count; ++i) score.hits += places[i] == pass.labels[first + i] ? 1 : 0;
  }
  return score;
}

}  // namespace
}  // namespace levin::kernels
