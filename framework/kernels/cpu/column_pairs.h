#pragma once

// Groups of columns of a learner's state, whose first two numbers are read as two vectors. Only
// online_loops.h and the rules include this file.
//
// A column is four numbers side by side. If they are floats, AVX-512 gathers the pairs of columns,
// and without it whole columns are read into registers and turned there. Both numbers of a column
// are written at once. That takes half of the instructions that going from number to number does.
#include <levin/framework/kernels/cpu/online.h>
#include <levin/framework/kernels/cpu/sparse_rows.h>

namespace levin::kernels {
namespace {

// Up to kSize columns with the given numbers. If there are fewer, the first one is read in place of
// the others.
template <class Number>
class ColumnGroup {
 public:
  static constexpr int kSize = VectorsOf<Number>::kSize;

  ColumnGroup(const int32_t* numbers, int64_t left)
      : places(numbers), count(left < kSize ? static_cast<int>(left) : kSize), read_(numbers) {
    if (count == kSize) return;
    for (int i = 0; i < kSize; ++i) own_[i] = numbers[i < count ? i : 0];
    read_ = own_;
  }
  ColumnGroup(const ColumnGroup&) = delete;
  ColumnGroup& operator=(const ColumnGroup&) = delete;

  // The number of the column that is read into lane i.
  int64_t read(int i) const { return read_[i]; }

  const int32_t* const places;  // [count], those to be written
  const int count;

 private:
  const int32_t* read_;
  int32_t own_[kSize];
};

// The values of a row's entries from number `first` on, one for each column of the group, and 0
// behind them.
template <bool kHasValues, class Number>
inline VectorOf<Number> values_of(const Entries& row, int64_t first,
                                  const ColumnGroup<Number>& group) {
  if (!kHasValues && group.count == group.kSize) return all_of(Number(1));
  Number values[ColumnGroup<Number>::kSize];
  for (int i = 0; i < group.kSize; ++i) {
    values[i] = i < group.count ? row.value<kHasValues, Number>(first + i) : Number(0);
  }
  return load_vector(values);
}

template <class Number>
struct ColumnPairs {
  VectorOf<Number> first, second;
};

inline ColumnPairs<double> read_pairs(const double* columns, const ColumnGroup<double>& group) {
  ColumnPairs<double> pairs = {};
#pragma GCC unroll 8
  for (int i = 0; i < group.kSize; ++i) {
    const double* column = columns + group.read(i) * kOnlineNumbers;
    pairs.first[i] = column[0];
    pairs.second[i] = column[1];
  }
  return pairs;
}
inline void write_pairs(const ColumnPairs<double>& pairs, double* columns,
                        const ColumnGroup<double>& group) {
  for (int i = 0; i < group.count; ++i) {
    double* column = columns + group.places[i] * kOnlineNumbers;
    column[0] = pairs.first[i];
    column[1] = pairs.second[i];
  }
}

// The fourth numbers of columns, whatever their bits mean.
template <class Number>
inline VectorOf<Number> fourth_numbers(const Number* columns, const ColumnGroup<Number>& group) {
  VectorOf<Number> numbers = {};
#pragma GCC unroll 16
  for (int i = 0; i < group.kSize; ++i) numbers[i] = columns[group.read(i) * kOnlineNumbers + 3];
  return numbers;
}

typedef int64_t TwoFloats __attribute__((aligned(4), may_alias));
typedef int64_t VectorOfTwos __attribute__((vector_size(kLanes * 4)));

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

#if defined(__AVX512F__)
// Only the columns that there are are read, the others' lanes are 0.
inline auto lanes_there(const ColumnGroup<float>& group) {
  return static_cast<__mmask16>(0xFFFF >> (kLanes - group.count));
}
template <bool kHasValues>
inline Vector values_of(const Entries& row, int64_t first, const ColumnGroup<float>& group) {
  const __mmask16 there = lanes_there(group);
  if constexpr (kHasValues) return (Vector)_mm512_maskz_loadu_ps(there, row.values + first);
  return (Vector)_mm512_maskz_mov_ps(there, (__m512)all(1.0F));
}
inline ColumnPairs<float> read_pairs(const float* columns, const ColumnGroup<float>& group) {
  constexpr __mmask8 kAll = 0xFF;
  const __mmask16 there = lanes_there(group);
  const __m512i places = _mm512_maskz_loadu_epi32(there, group.places);
  const auto eight = [&](int half) {
    const __m256i of_half = half == 0 ? _mm512_maskz_extracti64x4_epi64(kAll, places, 0)
                                      : _mm512_maskz_extracti64x4_epi64(kAll, places, 1);
    const __m512i pairs = _mm512_maskz_cvtepi32_epi64(kAll, of_half);
    return (Vector)_mm512_mask_i64gather_epi64(__m512i{}, static_cast<__mmask8>(there >> 8 * half),
                                               pairs + pairs, columns, 8);
  };
  static_assert(kOnlineNumbers == 4);
  const Vector low = eight(0), high = eight(1);
  const Integers first = {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30};
  const auto picked = [&](Integers lanes) {
    return (Vector)_mm512_maskz_permutex2var_ps(0xFFFF, (__m512)low, (__m512i)lanes, (__m512)high);
  };
  return {picked(first), picked(first + 1)};
}
inline Vector fourth_numbers(const float* columns, const ColumnGroup<float>& group) {
  return read_pairs(columns + 2, group).second;
}
#else
typedef float FourAnywhere __attribute__((vector_size(16), aligned(4), may_alias));

inline Four column_at(const float* columns, int64_t place) {
  return *reinterpret_cast<const FourAnywhere*>(columns + place * kOnlineNumbers);
}

// The columns with every fourth of the places, from number `first` on. Groups of four lanes hold
// one each.
inline Vector every_fourth(const float* columns, const ColumnGroup<float>& group, int first) {
  union {
    Four columns[kLanes / 4];
    Vector all;
  } read;
#pragma GCC unroll 4
  for (int i = 0; i < kLanes / 4; ++i)
    read.columns[i] = column_at(columns, group.read(first + 4 * i));
  return read.all;
}

inline ColumnPairs<float> read_pairs(const float* columns, const ColumnGroup<float>& group) {
  const Vector a = every_fourth(columns, group, 0), b = every_fourth(columns, group, 1);
  const Vector c = every_fourth(columns, group, 2), d = every_fourth(columns, group, 3);
  const Vector ab = picked_in_fours<0, 4, 1, 5>(a, b);
  const Vector cd = picked_in_fours<0, 4, 1, 5>(c, d);
  return {picked_in_fours<0, 1, 4, 5>(ab, cd), picked_in_fours<2, 3, 6, 7>(ab, cd)};
}
#endif

inline void write_pairs(const ColumnPairs<float>& pairs, float* columns,
                        const ColumnGroup<float>& group) {
  const auto low = (VectorOfTwos)picked_in_fours<0, 4, 1, 5>(pairs.first, pairs.second);
  const auto high = (VectorOfTwos)picked_in_fours<2, 6, 3, 7>(pairs.first, pairs.second);
  const auto at = [&](int i) -> TwoFloats& {
    return *reinterpret_cast<TwoFloats*>(columns + group.places[i] * kOnlineNumbers);
  };
  if (group.count < kLanes) {
    for (int i = 0; i < group.count; ++i) {
      float* column = columns + group.places[i] * kOnlineNumbers;
      column[0] = pairs.first[i];
      column[1] = pairs.second[i];
    }
    return;
  }
#pragma GCC unroll 8
  for (int i = 0; i < kLanes / 2; ++i) {
    const int column = i / 2 * 4 + i % 2;
    at(column) = low[i];
    at(column + 2) = high[i];
  }
}

}  // namespace
}  // namespace levin::kernels
