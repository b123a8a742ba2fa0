#pragma once

// What a step does to columns, for each method of online.h, a vector of them at a time. Only
// online_loops.h includes this file.
//
// A rule has a type Column, whose member `gradient` is 0 between steps, a type Lanes with what is
// read of a group of columns, whose member `weight` is their weights, and these functions:
//   begin_step()                   is called before the rows of a step are read
//   read(columns, group)           reads columns, whose weights may lag behind
//   lanes_of(pairs)                makes lanes of the first two numbers of columns
//   pairs_of(lanes)                gives these numbers back
//   catch_up(lanes)                brings the weights to the steps made so far
//   hold(column, weight)           keeps such a weight in its column
//   update(lanes, g)               makes the step, for weights that don't lag behind
//   write(lanes, columns, group)   writes what it has changed
//   write_one(lanes, i, column)    does so for the column of lane i
//   update_bias(g)                 makes the step for the bias
//   end_step()                     is called after the last update of a step
//   start(column, weight)          gives a column its first state
// kLags says whether weights can lag behind, and kHasWeights whether Column's `weight` needs no
// more than to be read.
#include <levin/framework/kernels/cpu/column_pairs.h>
#include <levin/framework/kernels/cpu/online.h>
#include <levin/framework/kernels/cpu/penalties.h>

namespace levin::kernels {
namespace {

template <class Number, bool kPenalised>
class SgdRule {
 public:
  static constexpr bool kLags = kPenalised, kHasWeights = !kPenalised;
  static constexpr int kSize = VectorsOf<Number>::kSize;
  typedef VectorOf<Number> V;
  typedef ColumnGroup<Number> Group;
  struct __attribute__((may_alias)) Column {
    Number weight, gradient;
    // The first is the state's `shrunk` up to which the penalties have been applied. If Number is
    // double, there is room for another.
    double caught_up[sizeof(Number) / 4];
  };
  struct Lanes {
    V weight, gradient, lag;
  };
  SgdRule(const OnlineSettings& settings, OnlineState<Number>& state)
      : settings_(settings), state_(state), penalties_(settings), shrunk_(state.shrunk) {}

  void begin_step() {
    double divisor = 1.0;
    if (settings_.rate_decay != 0.0) {
      const double age = 1.0 + settings_.rate_decay * static_cast<double>(state_.steps);
      const double power = settings_.rate_power;
      divisor = power == 0.5 ? __builtin_sqrt(age) : __builtin_pow(age, power);
    }
    rate_ = settings_.learning_rate / divisor;
    if constexpr (!kPenalised) return;
    const double part = rate_ * settings_.l2, most = static_cast<double>(kMostPart<Number>);
    const double shrinks =
        penalties_.has_l2() ? -__builtin_log1p(-(part > most ? most : part)) : rate_;
    shrunk_after_ = shrunk_ + shrinks;
  }
  static Lanes lanes_of(const ColumnPairs<Number>& pairs) {
    return {pairs.first, pairs.second, V{}};
  }
  static ColumnPairs<Number> pairs_of(const Lanes& lanes) { return {lanes.weight, lanes.gradient}; }
  Lanes read(const Column* columns, const Group& group) const {
    Lanes lanes = lanes_of(read_pairs(reinterpret_cast<const Number*>(columns), group));
    if constexpr (!kPenalised) return lanes;
#pragma GCC unroll 16
    for (int i = 0; i < kSize; ++i) {
      lanes.lag[i] = static_cast<Number>(shrunk_ - columns[group.read(i)].caught_up[0]);
    }
    return lanes;
  }
  void catch_up(Lanes& lanes) const {
    if constexpr (kPenalised) lanes.weight = penalties_.after(lanes.weight, -lanes.lag, lanes.lag);
  }
  void hold(Column& column, Number weight) const {
    column.weight = weight;
    column.caught_up[0] = shrunk_;
  }
  void update(Lanes& lanes, V g) const {
    const V rate = all_of(static_cast<Number>(rate_));
    lanes.weight = kPenalised ? penalties_.step(lanes.weight, g, rate) : lanes.weight - rate * g;
  }
  void write(const Lanes& lanes, Column* columns, const Group& group) const {
    write_pairs(pairs_of(lanes), reinterpret_cast<Number*>(columns), group);
    if constexpr (!kPenalised) return;
    for (int i = 0; i < group.count; ++i) {
      columns[group.places[i]].caught_up[0] = shrunk_after_;
    }
  }
  void write_one(const Lanes& lanes, int i, Column& column) const {
    column.weight = lanes.weight[i];
    if constexpr (kPenalised) column.caught_up[0] = shrunk_after_;
  }
  void update_bias(double g) { state_.bias -= rate_ * g; }
  void end_step() {
    if constexpr (kPenalised) state_.shrunk = shrunk_ = shrunk_after_;
    ++state_.steps;
  }
  void start(Column& column, Number weight) const {
    column.weight = weight;
    column.gradient = Number(0);
    for (double& number : column.caught_up) number = shrunk_;
  }

 private:
  const OnlineSettings& settings_;
  OnlineState<Number>& state_;
  const Penalties<Number> penalties_;
  double rate_ = 0.0;
  double shrunk_;
  double shrunk_after_ = 0.0;
};

// An unsigned integer as large as Number. Differences of counts are right as long as they fit.
template <class Number>
struct CountOf;
template <>
struct CountOf<float> {
  typedef uint32_t Type;
};
template <>
struct CountOf<double> {
  typedef uint64_t Type;
};

// The rate of a column only changes when it occurs, so that the missed steps all have the same.
template <class Number, bool kPenalised>
class AdagradRule {
 public:
  static constexpr bool kLags = kPenalised, kHasWeights = !kPenalised;
  static constexpr int kSize = VectorsOf<Number>::kSize;
  typedef VectorOf<Number> V;
  typedef typename CountOf<Number>::Type Count;
  typedef Count Counts __attribute__((vector_size(kLanes * 4)));
  typedef ColumnGroup<Number> Group;
  struct __attribute__((may_alias)) Column {
    Number weight, squares, gradient;
    Count steps;  // those that have been made for this column
  };
  struct Lanes {
    V weight, squares, missed;
  };
  AdagradRule(const OnlineSettings& settings, OnlineState<Number>& state)
      : settings_(settings),
        state_(state),
        penalties_(settings),
        learning_rate_(static_cast<Number>(settings.learning_rate)),
        eps_(static_cast<Number>(settings.eps)),
        steps_(static_cast<Count>(state.steps)) {}

  void begin_step() {}
  static Lanes lanes_of(const ColumnPairs<Number>& pairs) {
    return {pairs.first, pairs.second, V{}};
  }
  static ColumnPairs<Number> pairs_of(const Lanes& lanes) { return {lanes.weight, lanes.squares}; }
  Lanes read(const Column* columns, const Group& group) const {
    Lanes lanes = lanes_of(read_pairs(reinterpret_cast<const Number*>(columns), group));
    if constexpr (!kPenalised) return lanes;
    const auto steps = (Counts)fourth_numbers(reinterpret_cast<const Number*>(columns), group);
    lanes.missed = __builtin_convertvector(steps_ - steps, V);
    return lanes;
  }
  void catch_up(Lanes& lanes) const {
    if constexpr (!kPenalised) return;
    lanes.weight = penalties_.after_steps(lanes.weight, rates(lanes), lanes.missed);
  }
  void hold(Column& column, Number weight) const {
    column.weight = weight;
    column.steps = steps_;
  }
  void update(Lanes& lanes, V g) const {
    lanes.squares += g * g;
    const V rate = rates(lanes);
    lanes.weight = kPenalised ? penalties_.step(lanes.weight, g, rate) : lanes.weight - rate * g;
  }
  void write(const Lanes& lanes, Column* columns, const Group& group) const {
    write_pairs(pairs_of(lanes), reinterpret_cast<Number*>(columns), group);
    if constexpr (!kPenalised) return;
    for (int i = 0; i < group.count; ++i) columns[group.places[i]].steps = steps_ + 1;
  }
  void write_one(const Lanes& lanes, int i, Column& column) const {
    column.weight = lanes.weight[i];
    column.squares = lanes.squares[i];
    if constexpr (kPenalised) column.steps = steps_ + 1;
  }
  void update_bias(double g) {
    state_.bias_squares += g * g;
    const double root = __builtin_sqrt(state_.bias_squares);
    state_.bias -= settings_.learning_rate * g / (root + settings_.eps);
  }
  void end_step() { steps_ = static_cast<Count>(++state_.steps); }
  void start(Column& column, Number weight) const {
    column = {weight, Number(0), Number(0), steps_};
  }

 private:
  V rates(const Lanes& lanes) const {
    const V rate = learning_rate_ / (roots(lanes.squares) + eps_);
    if constexpr (!kPenalised) return rate;
    return lanes.squares == V{} ? V{} : rate;
  }

  const OnlineSettings& settings_;
  OnlineState<Number>& state_;
  const Penalties<Number> penalties_;
  const Number learning_rate_, eps_;
  Count steps_;
};

}  // namespace
}  // namespace levin::kernels
