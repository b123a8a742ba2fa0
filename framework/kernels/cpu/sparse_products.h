#pragma once

// The products of sparse rows with a matrix, and their gradients. Only implementation.h includes
// this file.
#include <levin/framework/kernels/cpu/denormals.h>
#include <levin/framework/kernels/cpu/sparse.h>
#include <levin/framework/kernels/cpu/sparse_rows.h>

namespace levin::kernels {
namespace {

// The rows of a matrix that several outputs read are this many vectors wide at most at a time, so
// that their sums stay in registers.
constexpr int64_t kVectorsOfOutputs = 4;

// Fetches the cache lines of the numbers [from, from + stride).
template <class Number>
__attribute__((always_inline)) inline void fetch_numbers(const Number* from, int64_t stride) {
  constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(Number));
  for (int64_t k = 0; k < stride; k += kLine) __builtin_prefetch(from + k);
}

// A row's columns aren't fetched ahead: no entry waits for another, so that the processor reads
// those of the next rows in the meantime. Only the entries of picked rows are fetched. In
// one_gradient, stores take part of that room, and fetching the columns saves a fifth of the time.
template <bool kHasValues, class Number>
inline void one_output(const SparseOutput<Number>& pass) {
  const Number bias = pass.bias != nullptr ? pass.bias[0] : Number(0);
  const Number* weight = pass.weight;
  for (int64_t i = 0; i < pass.rows.count; ++i) {
    fetch_ahead(pass.rows, i, [](int32_t) {});
    const Entries row = entries_of(pass.rows, i);
    pass.out[i] =
        bias + dot<kHasValues, Number>(row, [&](int32_t column) { return weight[column]; });
  }
}

// The columns [first, first + kVectors vectors) of one row's outputs.
template <bool kHasValues, int64_t kVectors, class Number>
inline void some_outputs(const Entries& row, const Number* weight, int64_t stride, Number* out) {
  constexpr int64_t kSize = VectorsOf<Number>::kSize;
  VectorOf<Number> sums[kVectors] = {};
  for (int64_t k = 0; k < row.count; ++k) {
    const Number* from = weight + row.indices[k] * stride;
    const Number value = row.value<kHasValues, Number>(k);
#pragma GCC unroll 4
    for (int64_t v = 0; v < kVectors; ++v) sums[v] += load_vector(from + v * kSize) * value;
  }
#pragma GCC unroll 4
  for (int64_t v = 0; v < kVectors; ++v) store_vector(out + v * kSize, sums[v]);
}

template <bool kHasValues, class Number>
inline void many_outputs(const SparseOutput<Number>& pass) {
  constexpr int64_t kSize = VectorsOf<Number>::kSize;
  for (int64_t i = 0; i < pass.rows.count; ++i) {
    fetch_ahead(
        pass.rows, i, [&](int32_t column) __attribute__((always_inline)) {
          fetch_numbers(pass.weight + column * pass.stride, pass.stride);
        });
    const Entries row = entries_of(pass.rows, i);
    Number* out = pass.out + i * pass.stride;
    int64_t done = 0;
    for (; done + kVectorsOfOutputs * kSize <= pass.stride; done += kVectorsOfOutputs * kSize) {
      some_outputs<kHasValues, kVectorsOfOutputs>(row, pass.weight + done, pass.stride, out + done);
    }
    for (; done < pass.stride; done += kSize) {
      some_outputs<kHasValues, 1>(row, pass.weight + done, pass.stride, out + done);
    }
    if (pass.bias == nullptr) continue;
    for (int64_t k = 0; k < pass.outputs; ++k) out[k] += pass.bias[k];
  }
}

template <class Number>
__attribute__((noinline)) void run_pass(const SparseOutput<Number>& pass) {
  with_or_without_values(pass.rows, [&](auto has_values) {
    if (pass.stride == 1) return one_output<has_values.value>(pass);
    many_outputs<has_values.value>(pass);
  });
}

template <bool kHasValues, class Number>
inline void one_gradient(const SparseGradient<Number>& pass) {
  Number* to = pass.weight_gradient;
  for (int64_t i = 0; i < pass.rows.count; ++i) {
    fetch_ahead(
        pass.rows, i, [to](int32_t column) __attribute__((always_inline)) {
          __builtin_prefetch(to + column, 1);
        });
    const Entries row = entries_of(pass.rows, i);
    const Number g = pass.gradient[i];
    for (int64_t k = 0; k < row.count; ++k) {
      to[row.indices[k]] += row.value<kHasValues, Number>(k) * g;
    }
  }
}

template <bool kHasValues, class Number>
inline void many_gradients(const SparseGradient<Number>& pass) {
  constexpr int64_t kSize = VectorsOf<Number>::kSize;
  for (int64_t i = 0; i < pass.rows.count; ++i) {
    fetch_ahead(
        pass.rows, i, [&](int32_t column) __attribute__((always_inline)) {
          fetch_numbers(pass.weight_gradient + column * pass.stride, pass.stride);
        });
    const Entries row = entries_of(pass.rows, i);
    const Number* gradient = pass.gradient + i * pass.stride;
    for (int64_t k = 0; k < row.count; ++k) {
      Number* to = pass.weight_gradient + row.indices[k] * pass.stride;
      const Number value = row.value<kHasValues, Number>(k);
      for (int64_t c = 0; c < pass.stride; c += kSize) {
        store_vector(to + c, load_vector(to + c) + load_vector(gradient + c) * value);
      }
    }
  }
}

template <class Number>
__attribute__((noinline)) void run_pass(const SparseGradient<Number>& pass) {
  with_or_without_values(pass.rows, [&](auto has_values) {
    if (pass.stride == 1) return one_gradient<has_values.value>(pass);
    many_gradients<has_values.value>(pass);
  });
  if (pass.bias_gradient == nullptr) return;
  for (int64_t i = 0; i < pass.rows.count; ++i) {
    const Number* gradient = pass.gradient + i * pass.stride;
    for (int64_t k = 0; k < pass.outputs; ++k) pass.bias_gradient[k] += gradient[k];
  }
}

template <class Number>
void sparse_output(const SparseOutput<Number>& pass) {
  const DenormalsAreZero scope;
  run_pass(pass);
}
template <class Number>
void sparse_gradient(const SparseGradient<Number>& pass) {
  const DenormalsAreZero scope;
  run_pass(pass);
}

}  // namespace
}  // namespace levin::kernels
