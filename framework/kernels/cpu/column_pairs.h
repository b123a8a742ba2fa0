#pragma once

// The first two numbers of several columns of a learner's state, as two vectors. Only
// online_loops.h and the rules include this file.
//
// A column is four numbers side by side. If they are floats, whole columns are read into registers
// and turned there, and both numbers are written at once, which takes half of the instructions that
// going from number to number does.
#include <levin/framework/kernels/cpu/online.h>
#include <levin/framework/kernels/cpu/sparse_rows.h>

namespace levin::kernels {
namespace {

template <class Number>
struct ColumnPairs {
  VectorOf<Number> first, second;
};

inline ColumnPairs<double> read_pairs(const double* columns, const int32_t* places) {
  ColumnPairs<double> pairs = {};
#pragma GCC unroll 8
  for (int i = 0; i < VectorsOf<double>::kSize; ++i) {
    const double* column = columns + places[i] * kOnlineNumbers;
    pairs.first[i] = column[0];
    pairs.second[i] = column[1];
  }
  return pairs;
}
inline void write_pairs(const ColumnPairs<double>& pairs, double* columns, const int32_t* places) {
#pragma GCC unroll 8
  for (int i = 0; i < VectorsOf<double>::kSize; ++i) {
    double* column = columns + places[i] * kOnlineNumbers;
    column[0] = pairs.first[i];
    column[1] = pairs.second[i];
  }
}

typedef float FourAnywhere __attribute__((vector_size(16), aligned(4), may_alias));
typedef int64_t TwoFloats __attribute__((aligned(4), may_alias));
typedef int64_t VectorOfTwos __attribute__((vector_size(kLanes * 4)));

inline Four column_at(const float* columns, int32_t place) {
  return *reinterpret_cast<const FourAnywhere*>(columns + place * kOnlineNumbers);
}

// The columns with every fourth of the places, from number `first` on. Groups of four lanes hold
// one each.
inline Vector every_fourth(const float* columns, const int32_t* places, int first) {
  union {
    Four columns[kLanes / 4];
    Vector all;
  } read;
#pragma GCC unroll 4
  for (int i = 0; i < kLanes / 4; ++i) read.columns[i] = column_at(columns, places[first + 4 * i]);
  return read.all;
}

// The numbers from 0 to kCount - 1, for the lanes of shuffles. Those of the standard library would
// be functions of other files, too.
template <int... kI>
struct Range {};
template <int kCount, int... kI>
struct RangeOf : RangeOf<kCount - 1, kCount - 1, kI...> {};
template <int... kI>
struct RangeOf<0, kI...> {
  typedef Range<kI...> Type;
};

// In each group of four lanes, those with the given numbers: 0 to 3 are the lanes of `x`, and 4 to
// 7 those of `y`.
template <int... kFrom>
inline Vector picked_in_fours(Vector x, Vector y) {
  constexpr int kGiven[] = {kFrom...};
  constexpr auto number = [](int i) {
    return i / 4 * 4 + kGiven[i % 4] % 4 + (kGiven[i % 4] < 4 ? 0 : kLanes);
  };
  return [&]<int... kI>(Range<kI...>) {
#if defined(__clang__)
    return __builtin_shufflevector(x, y, number(kI)...);
#else
    return __builtin_shuffle(x, y, Integers{number(kI)...});
#endif
  }
  (typename RangeOf<kLanes>::Type());
}

inline ColumnPairs<float> read_pairs(const float* columns, const int32_t* places) {
  const Vector a = every_fourth(columns, places, 0), b = every_fourth(columns, places, 1);
  const Vector c = every_fourth(columns, places, 2), d = every_fourth(columns, places, 3);
  const Vector ab = picked_in_fours<0, 4, 1, 5>(a, b);
  const Vector cd = picked_in_fours<0, 4, 1, 5>(c, d);
  return {picked_in_fours<0, 1, 4, 5>(ab, cd), picked_in_fours<2, 3, 6, 7>(ab, cd)};
}

inline void write_pairs(const ColumnPairs<float>& pairs, float* columns, const int32_t* places) {
  const auto low = (VectorOfTwos)picked_in_fours<0, 4, 1, 5>(pairs.first, pairs.second);
  const auto high = (VectorOfTwos)picked_in_fours<2, 6, 3, 7>(pairs.first, pairs.second);
  const auto at = [&](int i) -> TwoFloats& {
    return *reinterpret_cast<TwoFloats*>(columns + places[i] * kOnlineNumbers);
  };
#pragma GCC unroll 8
  for (int i = 0; i < kLanes / 2; ++i) {
    const int column = i / 2 * 4 + i % 2;
    at(column) = low[i];
    at(column + 2) = high[i];
  }
}

}  // namespace
}  // namespace levin::kernels
