#pragma once

// What the loops over sparse rows share: the entries of a row, vectors of floats or doubles, and
// the fetching of memory ahead of its use. Included by files that are compiled for one vector unit
// each (implementation.h).
//
// A row's entries refer to numbers that lie anywhere, so that most of the time of a pass is spent
// waiting for cache lines unless they are fetched early. The processor fetches by itself only what
// follows a regular pattern.
#include <levin/framework/kernels/cpu/sparse.h>
#include <levin/framework/kernels/cpu/vectors.h>

namespace levin::kernels {
namespace {

// A vector of `Number`s of the machine's width, in a register and anywhere in memory.
template <class Number>
struct VectorsOf;
template <>
struct VectorsOf<float> {
  static constexpr int kSize = kLanes;
  typedef Vector InRegister;
  typedef Vector Unaligned __attribute__((aligned(4), may_alias));
};
template <>
struct VectorsOf<double> {
  static constexpr int kSize = kLanes / 2;
  typedef double InRegister __attribute__((vector_size(kLanes * 4)));
  typedef double Unaligned __attribute__((vector_size(kLanes * 4), aligned(8), may_alias));
};
template <class Number>
using VectorOf = typename VectorsOf<Number>::InRegister;

template <class Number>
inline VectorOf<Number> load_vector(const Number* from) {
  return *reinterpret_cast<const typename VectorsOf<Number>::Unaligned*>(from);
}
template <class Number>
inline void store_vector(Number* to, VectorOf<Number> value) {
  *reinterpret_cast<typename VectorsOf<Number>::Unaligned*>(to) = value;
}

// The same number in every lane.
template <class Number>
inline VectorOf<Number> all_of(Number value) {
  return value - VectorOf<Number>{};
}
inline float lanes_sum(Vector value) { return sum_of(value); }
inline double lanes_sum(VectorOf<double> value) {
#pragma GCC unroll 4
  for (int half = VectorsOf<double>::kSize / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) value[i] += value[i + half];
  }
  return value[0];
}

// The entries of one row.
struct Entries {
  const int32_t* indices;
  const float* values;  // null if all are 1
  int64_t count;

  template <bool kHasValues, class Number>
  Number value(int64_t i) const {
    if constexpr (kHasValues) {
      return static_cast<Number>(values[i]);
    } else {
      return Number(1);
    }
  }
};

inline int64_t place_of(const SparseView& rows, int64_t i) {
  return rows.numbers != nullptr ? rows.numbers[i] : i;
}

// Always inlined: it is called several times for each row.
__attribute__((always_inline)) inline Entries entries_of(const SparseView& rows, int64_t i) {
  const int64_t place = place_of(rows, i), first = rows.offsets[place];
  return {rows.indices + first, rows.values != nullptr ? rows.values + first : nullptr,
          rows.offsets[place + 1] - first};
}

// How many rows ahead what an entry refers to is fetched. If rows are picked by their numbers,
// their entries are fetched before that, and where these lie even earlier.
constexpr int64_t kRowsAhead = 4;
constexpr int64_t kEntriesAhead = 8;
constexpr int64_t kOffsetsAhead = 16;

// Fetches what the rows after row i need. `fetch(column)` is called with the columns of the row
// that is kRowsAhead further on, whose entries are read for it. Functions that do nothing but fetch
// must be inlined early: gcc takes them for functions without any effect, and drops the calls.
template <class Fetch>
__attribute__((always_inline)) inline void fetch_ahead(const SparseView& rows, int64_t i,
                                                       Fetch fetch) {
  constexpr int64_t kLine = 64;
  if (rows.numbers != nullptr) {
    if (i + kOffsetsAhead < rows.count) {
      __builtin_prefetch(rows.offsets + rows.numbers[i + kOffsetsAhead]);
    }
    if (i + kEntriesAhead < rows.count) {
      const Entries later = entries_of(rows, i + kEntriesAhead);
      for (int64_t k = 0; k < later.count; k += kLine / 4) {
        __builtin_prefetch(later.indices + k);
        if (later.values != nullptr) __builtin_prefetch(later.values + k);
      }
    }
  }
  if (i + kRowsAhead >= rows.count) return;
  const Entries next = entries_of(rows, i + kRowsAhead);
  for (int64_t k = 0; k < next.count; ++k) fetch(next.indices[k]);
}

// Calls work(std::true_type or false_type), by whether the entries have values. These types aren't
// those of the standard library.
template <bool kValue>
struct Known {
  static constexpr bool value = kValue;
};
template <class Work>
inline void with_or_without_values(const SparseView& rows, Work work) {
  rows.values != nullptr ? work(Known<true>()) : work(Known<false>());
}

// The sum of a row's values times the numbers at their columns; number(column) returns one. Four
// sums are kept at a time, since each addition waits for the one before it.
template <bool kHasValues, class Number, class At>
inline Number dot(const Entries& row, At number) {
  Number sums[4] = {};
  int64_t k = 0;
  for (; k + 4 <= row.count; k += 4) {
#pragma GCC unroll 4
    for (int64_t s = 0; s < 4; ++s) {
      sums[s] += row.value<kHasValues, Number>(k + s) * number(row.indices[k + s]);
    }
  }
  for (; k < row.count; ++k) {
    sums[0] += row.value<kHasValues, Number>(k) * number(row.indices[k]);
  }
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

}  // namespace
}  // namespace levin::kernels
