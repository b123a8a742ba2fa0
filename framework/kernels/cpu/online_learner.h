#pragma once

// Learning from rows, one by one or in batches, with a rule of online_rules.h. Only online_loops.h
// includes this file.
#include <levin/framework/kernels/cpu/online.h>
#include <levin/framework/kernels/cpu/sparse_rows.h>

namespace levin::kernels {
namespace {

// The loss of a row is rest + log(factor). `slope` is its derivative by the row's output.
struct LossOfRow {
  double rest, factor, slope;
};

// There are no branches on z: its sign can't be predicted, and the processor would forget what it
// has begun of the rows behind this one.
inline LossOfRow loss_of_row(RowLoss kind, double z, double target) {
  if (kind == RowLoss::squared) return {0.5 * (z - target) * (z - target), 1.0, z - target};
  typedef double Two __attribute__((vector_size(16)));
  const double size = __builtin_fabs(z), e = __builtin_exp(-size);
  const Two numerators = Two{z, z} < Two{} ? Two{e, e} : Two{1.0, 1.0};
  return {0.5 * (size + z) - target * z, 1.0 + e, numerators[0] / (1.0 + e) - target};
}

// Adds up the losses of rows. Factors from 1 to 2 are multiplied, so that one logarithm does for
// several hundred rows.
class LossSum {
 public:
  void add(const LossOfRow& row) {
    rest_ += row.rest;
    factor_ *= row.factor;
    if (factor_ < 1e200) return;
    rest_ += __builtin_log(factor_);
    factor_ = 1.0;
  }
  void add(const LossOfRow& row, double weight) {
    rest_ += weight * (row.rest + __builtin_log(row.factor));
  }
  double total() const { return rest_ + __builtin_log(factor_); }

 private:
  double rest_ = 0.0, factor_ = 1.0;
};

template <class Rule, class Number>
inline typename Rule::Column* columns_of(const OnlineState<Number>& state) {
  static_assert(sizeof(typename Rule::Column) == kOnlineNumbers * sizeof(Number));
  return reinterpret_cast<typename Rule::Column*>(state.columns);
}

// Columns that nothing else reads or writes during a pass.
struct OwnColumns {
  // Whether a row's update reads columns once more, instead of what its product has read.
  static constexpr bool kReadsAgain = false;

  template <class Rule, class Number>
  static typename Rule::Lanes read(const Rule& rule, const typename Rule::Column* columns,
                                   const ColumnGroup<Number>& group) {
    return rule.read(columns, group);
  }
  template <class Rule, class Number>
  static void write(const Rule& rule, const typename Rule::Lanes& lanes,
                    typename Rule::Column* columns, const ColumnGroup<Number>& group) {
    rule.write(lanes, columns, group);
  }
};

// Learns from one row after another, or from steps of several rows.
template <class Number, class Rule, bool kHasValues, class Columns = OwnColumns>
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
    return row_by_row(0, pass_.rows.count, [] {});
  }
  // Learns from `count` rows from the first one on, and calls after_row() behind each.
  template <class AfterRow>
  double row_by_row(int64_t first, int64_t count, AfterRow after_row) {
    LossSum sum;
    for (int64_t i = first; i < first + count; ++i) {
      rule_.begin_step();
      const Entries row = arrive_at(i);
      Lanes kept[kKept];
      const double slope = predict(row, i, Columns::kReadsAgain ? nullptr : kept, sum);
      const auto g = static_cast<Number>(slope);
      for (int64_t k = 0; k < row.count; k += kSize) {
        const Group group(row.indices + k, row.count - k);
        const bool is_kept = !Columns::kReadsAgain && k < kKept * kSize;
        Lanes lanes = is_kept ? kept[k / kSize] : read_current(group);
        rule_.update(lanes, values(row, k, group) * g);
        Columns::write(rule_, lanes, columns_, group);
      }
      if (state_.has_bias) rule_.update_bias(slope);
      rule_.end_step();
      after_row();
    }
    return sum.total();
  }

  double in_batches() {
    LossSum sum;
    for (int64_t first = 0; first < pass_.rows.count; first += pass_.rows_a_step) {
      const int64_t left = pass_.rows.count - first;
      rule_.begin_step();
      const int64_t size =
          read_batch(first, left < pass_.rows_a_step ? left : pass_.rows_a_step, sum);
      update_touched(size);
      rule_.end_step();
    }
    return sum.total();
  }

 private:
  typedef typename Rule::Column Column;
  typedef typename Rule::Lanes Lanes;
  typedef ColumnGroup<Number> Group;
  typedef VectorOf<Number> V;
  static constexpr int kSize = VectorsOf<Number>::kSize;
  // How many groups of a row are kept from its product to its update. Further ones are read again.
  static constexpr int64_t kKept = 64 / kSize;

  // The entries of row i. Those of the rows behind it, and their columns, are fetched.
  Entries arrive_at(int64_t i) const {
    fetch_ahead(
        pass_.rows, i, [this](int32_t column) __attribute__((always_inline)) {
          __builtin_prefetch(columns_ + column, 1);
        });
    return entries_of(pass_.rows, i);
  }

  static V values(const Entries& row, int64_t first, const Group& group) {
    return values_of<kHasValues>(row, first, group);
  }

  // Columns with the weights after the steps made so far.
  Lanes read_current(const Group& group) const {
    Lanes lanes = Columns::read(rule_, columns_, group);
    rule_.catch_up(lanes);
    return lanes;
  }

  // The product of a row and the weights, which are brought to the steps made so far. The first
  // groups that are read for it are written to `kept` if that isn't null, else their weights to
  // their columns.
  Number product(const Entries& row, Lanes* kept) const {
    if constexpr (Rule::kHasWeights && !Columns::kReadsAgain) {
      if (kept == nullptr) {
        return dot<kHasValues, Number>(row,
                                       [this](int32_t column) { return columns_[column].weight; });
      }
    }
    V sum = {};
    for (int64_t k = 0; k < row.count; k += kSize) {
      const Group group(row.indices + k, row.count - k);
      const Lanes lanes = read_current(group);
      sum += lanes.weight * values(row, k, group);
      if (kept != nullptr) {
        if (k < kKept * kSize) kept[k / kSize] = lanes;
      } else if constexpr (Rule::kLags) {
        for (int l = 0; l < group.count; ++l) {
          rule_.hold(columns_[group.places[l]], lanes.weight[l]);
        }
      }
    }
    return lanes_sum(sum);
  }

  // Adds row i's loss to `sum` and returns the derivative of that by the row's output.
  double predict(const Entries& row, int64_t i, Lanes* kept, LossSum& sum) const {
    const double z =
        static_cast<double>(product(row, kept)) + (state_.has_bias ? state_.bias : 0.0);
    if (pass_.outputs != nullptr) pass_.outputs[i] = static_cast<Number>(z);
    const LossOfRow found = loss_of_row(kind_, z, static_cast<double>(pass_.targets[i]));
    if (pass_.row_weights == nullptr) {
      sum.add(found);
      return found.slope;
    }
    const auto weight = static_cast<double>(pass_.row_weights[i]);
    sum.add(found, weight);
    return weight * found.slope;
  }

  // Adds up a batch's gradient, makes the bias's step, notes the columns that have a gradient, and
  // returns how many notes there are. A column is noted when its gradient is 0 and a row adds to
  // it. Since the place behind the notes is written in any case, there is no branch.
  int64_t read_batch(int64_t first, int64_t count, LossSum& sum) {
    const double share = 1.0 / static_cast<double>(count);
    int32_t* touched = pass_.touched;
    int64_t size = 0;
    double bias_gradient = 0.0;
    for (int64_t i = first; i < first + count; ++i) {
      const Entries row = arrive_at(i);
      const double slope = predict(row, i, nullptr, sum) * share;
      bias_gradient += slope;
      const auto g = static_cast<Number>(slope);
      for (int64_t k = 0; k < row.count; ++k) {
        Number& gradient = columns_[row.indices[k]].gradient;
        touched[size] = row.indices[k];
        size += gradient == Number(0) ? 1 : 0;
        gradient += g * row.value<kHasValues, Number>(k);
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
      const Group group(touched, size - k);
      V gradient = {};
#pragma GCC unroll 16
      for (int l = 0; l < kSize; ++l) gradient[l] = columns_[group.read(l)].gradient;
      // Weights that can lag behind have been held.
      auto lanes = Rule::kLags ? rule_.read(columns_, group) : read_current(group);
      rule_.update(lanes, gradient);
      for (int l = 0; l < group.count; ++l) {
        if (gradient[l] == Number(0)) continue;
        Column& column = columns_[group.places[l]];
        rule_.write_one(lanes, l, column);
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
