#pragma once

// Learning from rows, one by one or in batches, with a rule of online_rules.h. Only online_loops.h
// includes this file.
#include <levin/framework/kernels/cpu/online.h>
#include <levin/framework/kernels/cpu/sparse_rows.h>

namespace levin::kernels {
namespace {

// The loss of a row, and its derivative by the row's output.
struct LossOfRow {
  double loss, slope;
};

inline LossOfRow loss_of_row(RowLoss kind, double z, double target) {
  if (kind == RowLoss::squared) return {0.5 * (z - target) * (z - target), z - target};
  const double e = __builtin_exp(z < 0.0 ? z : -z);
  const double probability = (z < 0.0 ? e : 1.0) / (1.0 + e);
  return {__builtin_log(1.0 + e) + (z < 0.0 ? 0.0 : z) - target * z, probability - target};
}

template <class Rule, class Number>
inline typename Rule::Column* columns_of(const OnlineState<Number>& state) {
  static_assert(sizeof(typename Rule::Column) == kOnlineNumbers * sizeof(Number));
  return reinterpret_cast<typename Rule::Column*>(state.columns);
}

// Up to kSize numbers of columns. Behind those that there are, the first one stands again.
template <int kSize>
struct Places {
  int32_t numbers[kSize];
  int count;

  Places(const int32_t* from, int64_t left) : count(left < kSize ? static_cast<int>(left) : kSize) {
    for (int i = 0; i < kSize; ++i) numbers[i] = from[i < count ? i : 0];
  }
};

// Learns from one row after another, or from steps of several rows.
template <class Number, class Rule, bool kHasValues>
class Learner {
 public:
  Learner(const OnlineSettings& settings, OnlineState<Number>& state,
          const OnlinePass<Number>& pass)
      : rule_(settings, state),
        state_(state),
        pass_(pass),
        kind_(settings.loss),
        columns_(columns_of<Rule>(state)) {}

  double row_by_row() {
    double total = 0.0;
    for (int64_t i = 0; i < pass_.rows.count; ++i) {
      rule_.begin_step();
      const Entries row = arrive_at(i);
      const double slope = predict(row, i, total);
      const auto g = static_cast<Number>(slope);
      int64_t k = 0;
      for (; k + kSize <= row.count; k += kSize) {
        const int32_t* places = row.indices + k;
        auto lanes = rule_.read(columns_, places);
        rule_.update(lanes, values_of(row, k, kSize) * g);
        rule_.write_all(lanes, columns_, places);
      }
      if (k < row.count) {
        const Places<kSize> places(row.indices + k, row.count - k);
        auto lanes = rule_.read(columns_, places.numbers);
        rule_.update(lanes, values_of(row, k, places.count) * g);
        for (int l = 0; l < places.count; ++l) rule_.write(lanes, l, columns_[places.numbers[l]]);
      }
      if (state_.has_bias) rule_.update_bias(slope);
      rule_.end_step();
    }
    return total;
  }

  double in_batches() {
    double total = 0.0;
    for (int64_t first = 0; first < pass_.rows.count; first += pass_.rows_a_step) {
      const int64_t left = pass_.rows.count - first;
      rule_.begin_step();
      const int64_t size =
          read_batch(first, left < pass_.rows_a_step ? left : pass_.rows_a_step, total);
      update_touched(size);
      rule_.end_step();
    }
    return total;
  }

 private:
  typedef typename Rule::Column Column;
  typedef VectorOf<Number> V;
  static constexpr int kSize = VectorsOf<Number>::kSize;

  // The entries of row i. Those of the rows behind it, and their columns, are fetched.
  Entries arrive_at(int64_t i) const {
    fetch_ahead(pass_.rows, i,
                [this](int32_t column) { __builtin_prefetch(columns_ + column, 1); });
    return entries_of(pass_.rows, i);
  }

  // `count` values of a row from the given entry on, and 0 behind them.
  static V values_of(const Entries& row, int64_t first, int count) {
    if (!kHasValues && count == kSize) return all_of(Number(1));
    Number values[kSize];
    for (int i = 0; i < kSize; ++i) {
      values[i] = i < count ? row.value<kHasValues, Number>(first + i) : Number(0);
    }
    return load_vector(values);
  }

  // The product of a row and the weights, which are brought to the steps made so far.
  Number product(const Entries& row) const {
    if constexpr (Rule::kHasWeights) {
      return dot<kHasValues, Number>(row,
                                     [this](int32_t column) { return columns_[column].weight; });
    } else {
      V sum = {};
      for (int64_t k = 0; k < row.count; k += kSize) {
        const Places<kSize> places(row.indices + k, row.count - k);
        const V weights = rule_.weights(rule_.read(columns_, places.numbers));
        sum += weights * values_of(row, k, places.count);
        if constexpr (!Rule::kHolds) continue;
        for (int l = 0; l < places.count; ++l) rule_.hold(columns_[places.numbers[l]], weights[l]);
      }
      return lanes_sum<Number>(sum);
    }
  }

  // Adds row i's loss to `total` and returns the derivative of that by the row's output.
  double predict(const Entries& row, int64_t i, double& total) const {
    const double z = static_cast<double>(product(row)) + (state_.has_bias ? state_.bias : 0.0);
    if (pass_.outputs != nullptr) pass_.outputs[i] = static_cast<Number>(z);
    const LossOfRow found = loss_of_row(kind_, z, static_cast<double>(pass_.targets[i]));
    const double weight =
        pass_.row_weights != nullptr ? static_cast<double>(pass_.row_weights[i]) : 1.0;
    total += weight * found.loss;
    return weight * found.slope;
  }

  // Adds up a batch's gradient, makes the bias's step, notes the columns that have a gradient, and
  // returns how many notes there are. A column is noted when its gradient is 0 and a row adds to
  // it. Since the place behind the notes is written in any case, there is no branch.
  int64_t read_batch(int64_t first, int64_t count, double& total) {
    const double share = 1.0 / static_cast<double>(count);
    int32_t* touched = pass_.touched;
    int64_t size = 0;
    double bias_gradient = 0.0;
    for (int64_t i = first; i < first + count; ++i) {
      const Entries row = arrive_at(i);
      const double slope = predict(row, i, total) * share;
      bias_gradient += slope;
      const auto g = static_cast<Number>(slope);
      for (int64_t k = 0; k < row.count; ++k) {
        Column& column = columns_[row.indices[k]];
        touched[size] = row.indices[k];
        size += column.gradient == Number(0) ? 1 : 0;
        column.gradient += g * row.value<kHasValues, Number>(k);
      }
    }
    if (state_.has_bias) rule_.update_bias(bias_gradient);
    return size;
  }

  // Makes the step of the columns noted. A gradient that has become 0 on the way may be noted
  // twice: it is 0 at the second note, or both are among the same kSize, which write the same.
  void update_touched(int64_t size) {
    constexpr int64_t kColumnsAhead = 32;
    for (int64_t k = 0; k < size; k += kSize) {
      const int32_t* touched = pass_.touched + k;
      for (int64_t a = kColumnsAhead; a < kColumnsAhead + kSize && k + a < size; ++a) {
        __builtin_prefetch(columns_ + touched[a], 1);
      }
      const Places<kSize> places(touched, size - k);
      V gradient = {};
#pragma GCC unroll 16
      for (int l = 0; l < kSize; ++l) gradient[l] = columns_[places.numbers[l]].gradient;
      auto lanes = rule_.read(columns_, places.numbers);
      rule_.update(lanes, gradient);
      for (int l = 0; l < places.count; ++l) {
        if (gradient[l] == Number(0)) continue;
        Column& column = columns_[places.numbers[l]];
        rule_.write(lanes, l, column);
        column.gradient = Number(0);
      }
    }
  }

  Rule rule_;
  OnlineState<Number>& state_;
  const OnlinePass<Number>& pass_;
  const RowLoss kind_;
  Column* const columns_;
};

}  // namespace
}  // namespace levin::kernels
