#pragma once

// The passes of hogwild.h. Only implementation.h includes this file.
//
// A float column's first two numbers are read and written by moves of eight aligned bytes, which
// processors don't divide; gathers of AVX-512 read each of their lanes so, too. The atomic builtins
// tell the compiler, and the thread sanitizer, that others may do the same meanwhile; with relaxed
// order, they compile to plain moves.
#include <levin/framework/kernels/cpu/column_pairs.h>
#include <levin/framework/kernels/cpu/denormals.h>
#include <levin/framework/kernels/cpu/hogwild.h>
#include <levin/framework/kernels/cpu/online.h>
#include <levin/framework/kernels/cpu/online_learner.h>
#include <levin/framework/kernels/cpu/online_loops.h>

namespace levin::kernels {
namespace {

typedef int64_t PairBits __attribute__((may_alias));  // two floats at a multiple of 8 bytes

inline void write_shared_pairs(const ColumnPairs<float>& pairs, float* columns,
                               const ColumnGroup<float>& group) {
  const auto low = (VectorOfTwos)picked_in_fours<0, 4, 1, 5>(pairs.first, pairs.second);
  const auto high = (VectorOfTwos)picked_in_fours<2, 6, 3, 7>(pairs.first, pairs.second);
  const auto write = [&](int i, int64_t bits) {
    auto* place = reinterpret_cast<PairBits*>(columns + group.places[i] * kOnlineNumbers);
    __atomic_store_n(place, bits, __ATOMIC_RELAXED);
  };
  if (group.count < kLanes) {
    for (int i = 0; i < group.count; ++i) {
      const int pair = i / 4 * 2 + i % 2;
      write(i, i % 4 < 2 ? low[pair] : high[pair]);
    }
    return;
  }
#pragma GCC unroll 8
  for (int i = 0; i < kLanes / 2; ++i) {
    const int column = i / 2 * 4 + i % 2;
    write(column, low[i]);
    write(column + 2, high[i]);
  }
}

#if defined(__AVX512F__)
inline ColumnPairs<float> read_shared_pairs(const float* columns, const ColumnGroup<float>& group) {
  return read_pairs(columns, group);
}
#else
inline ColumnPairs<float> read_shared_pairs(const float* columns, const ColumnGroup<float>& group) {
  const auto read = [&](int i) {
    const float* column = columns + group.read(i) * kOnlineNumbers;
    return __atomic_load_n(reinterpret_cast<const PairBits*>(column), __ATOMIC_RELAXED);
  };
  VectorOfTwos low = {}, high = {};
#pragma GCC unroll 8
  for (int i = 0; i < kLanes / 2; ++i) {
    const int column = i / 2 * 4 + i % 2;
    low[i] = read(column);
    high[i] = read(column + 2);
  }
  return {picked_in_fours<0, 2, 4, 6>((Vector)low, (Vector)high),
          picked_in_fours<1, 3, 5, 7>((Vector)low, (Vector)high)};
}
#endif

inline double read_shared(const double& from) {
  double value;
  __atomic_load(&from, &value, __ATOMIC_RELAXED);
  return value;
}
inline void write_shared_pairs(const ColumnPairs<double>& pairs, double* columns,
                               const ColumnGroup<double>& group) {
  for (int i = 0; i < group.count; ++i) {
    double* column = columns + group.places[i] * kOnlineNumbers;
    double first = pairs.first[i], second = pairs.second[i];
    __atomic_store(column, &first, __ATOMIC_RELAXED);
    __atomic_store(column + 1, &second, __ATOMIC_RELAXED);
  }
}
inline ColumnPairs<double> read_shared_pairs(const double* columns,
                                             const ColumnGroup<double>& group) {
  ColumnPairs<double> pairs = {};
#pragma GCC unroll 8
  for (int i = 0; i < group.kSize; ++i) {
    const double* column = columns + group.read(i) * kOnlineNumbers;
    pairs.first[i] = read_shared(column[0]);
    pairs.second[i] = read_shared(column[1]);
  }
  return pairs;
}

// Columns that others read and write meanwhile.
struct SharedColumns {
  // It costs nothing, because the columns are in the cache by then, and fewer changes are lost.
  static constexpr bool kReadsAgain = true;

  template <class Rule, class Number>
  static typename Rule::Lanes read(const Rule&, const typename Rule::Column* columns,
                                   const ColumnGroup<Number>& group) {
    return Rule::lanes_of(read_shared_pairs(reinterpret_cast<const Number*>(columns), group));
  }
  template <class Rule, class Number>
  static void write(const Rule&, const typename Rule::Lanes& lanes, typename Rule::Column* columns,
                    const ColumnGroup<Number>& group) {
    write_shared_pairs(Rule::pairs_of(lanes), reinterpret_cast<Number*>(columns), group);
  }
};

// Keeps the bias of a thread's own state in touch with the shared one.
template <class Number>
class BiasExchange {
 public:
  BiasExchange(const OnlineSettings& settings, OnlineState<Number>& own, HogwildBias& shared)
      : settings_(settings), own_(own), shared_(shared) {
    fetch();
  }
  // Adds the thread's changes to the shared numbers, and takes over those of the others.
  void exchange() {
    if (settings_.method == OnlineMethod::ftrl) {
      add(shared_.z, own_.bias_z - fetched_.z);
    } else {
      add(shared_.bias, own_.bias - fetched_.bias);
    }
    if (settings_.method != OnlineMethod::sgd) {
      add(shared_.squares, own_.bias_squares - fetched_.squares);
    }
    fetch();
  }

 private:
  // Unlike the changes of columns, these are never lost.
  static void add(double& to, double change) {
    double before = read_shared(to), after = before + change;
    while (!__atomic_compare_exchange(&to, &before, &after, true, __ATOMIC_RELAXED,
                                      __ATOMIC_RELAXED)) {
      after = before + change;
    }
  }
  void fetch() {
    fetched_.squares = own_.bias_squares = read_shared(shared_.squares);
    fetched_.z = own_.bias_z = read_shared(shared_.z);
    if (settings_.method == OnlineMethod::ftrl) {
      own_.bias = -own_.bias_z * settings_.learning_rate /
                  (settings_.beta + __builtin_sqrt(own_.bias_squares));
    } else {
      fetched_.bias = own_.bias = read_shared(shared_.bias);
    }
  }

  const OnlineSettings& settings_;
  OnlineState<Number>& own_;
  HogwildBias& shared_;
  HogwildBias fetched_ = {};
};

template <class Number>
__attribute__((noinline)) double run_hogwild(const OnlineSettings& settings,
                                             const OnlineState<Number>& state,
                                             const OnlinePass<Number>& pass, int64_t first,
                                             int64_t count, HogwildBias& shared) {
  OnlineState<Number> own = state;
  own.steps += first;
  BiasExchange<Number> bias(settings, own, shared);
  double total = 0.0;
  with_rule(settings, own, /*is_penalised=*/false, [&]<class Rule>(const Rule&) {
    with_or_without_values(pass.rows, [&](auto has_values) {
      Learner<Number, Rule, has_values.value, SharedColumns> learner(settings, own, pass);
      int64_t rows = 0;
      total = learner.row_by_row(first, count, [&] {
        if (own.has_bias && ++rows % kHogwildBiasRows == 0) bias.exchange();
      });
    });
  });
  if (own.has_bias) bias.exchange();
  return total;
}

// --- the kernels ---

template <class Number>
double hogwild_pass(const OnlineSettings& settings, const OnlineState<Number>& state,
                    const OnlinePass<Number>& pass, int64_t first, int64_t count,
                    HogwildBias& shared) {
  const DenormalsAreZero scope;
  return run_hogwild(settings, state, pass, first, count, shared);
}

}  // namespace
}  // namespace levin::kernels
