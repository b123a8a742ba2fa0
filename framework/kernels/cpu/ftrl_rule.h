#pragma once

// The steps of FTRL-proximal, a rule as online_rules.h describes it. Only online_loops.h includes
// this file.
#include <levin/framework/kernels/cpu/column_pairs.h>
#include <levin/framework/kernels/cpu/online.h>
#include <levin/framework/kernels/cpu/penalties.h>

namespace levin::kernels {
namespace {

template <class Number>
class FtrlRule {
 public:
  static constexpr bool kLags = false, kHasWeights = false;
  static constexpr int kSize = VectorsOf<Number>::kSize;
  typedef VectorOf<Number> V;
  typedef ColumnGroup<Number> Group;
  struct __attribute__((may_alias)) Column {
    Number z, squares, gradient, unused;
  };
  struct Lanes {
    V weight, z, squares, root;
  };
  FtrlRule(const OnlineSettings& settings, OnlineState<Number>& state)
      : settings_(settings),
        state_(state),
        one_by_rate_(static_cast<Number>(1.0 / settings.learning_rate)),
        beta_(static_cast<Number>(settings.beta)),
        l1_(static_cast<Number>(settings.l1)),
        l2_(static_cast<Number>(settings.l2)) {}

  void begin_step() {}
  static Lanes lanes_of(const ColumnPairs<Number>& pairs) {
    Lanes lanes = {};
    lanes.z = pairs.first;
    lanes.squares = pairs.second;
    return lanes;
  }
  static ColumnPairs<Number> pairs_of(const Lanes& lanes) { return {lanes.z, lanes.squares}; }
  Lanes read(const Column* columns, const Group& group) const {
    return lanes_of(read_pairs(reinterpret_cast<const Number*>(columns), group));
  }
  void catch_up(Lanes& lanes) const {
    lanes.root = roots(lanes.squares);
    const V beyond = sizes(lanes.z) - l1_;
    const V size = beyond / (l2_ + (beta_ + lanes.root) * one_by_rate_);
    const V left = beyond <= V{} ? V{} : size;
    lanes.weight = lanes.z < V{} ? left : -left;
  }
  void hold(Column&, Number) const {}
  void update(Lanes& lanes, V g) const {
    lanes.squares += g * g;
    lanes.z += g - (roots(lanes.squares) - lanes.root) * one_by_rate_ * lanes.weight;
  }
  void write(const Lanes& lanes, Column* columns, const Group& group) const {
    write_pairs(pairs_of(lanes), reinterpret_cast<Number*>(columns), group);
  }
  void write_one(const Lanes& lanes, int i, Column& column) const {
    column.z = lanes.z[i];
    column.squares = lanes.squares[i];
  }
  void update_bias(double g) {
    const double squares = state_.bias_squares + g * g, root = __builtin_sqrt(squares);
    const double sigma = (root - __builtin_sqrt(state_.bias_squares)) / settings_.learning_rate;
    state_.bias_z += g - sigma * state_.bias;
    state_.bias_squares = squares;
    state_.bias = -state_.bias_z * settings_.learning_rate / (settings_.beta + root);
  }
  void end_step() { ++state_.steps; }
  void start(Column& column, Number weight) const {
    const Number beyond = -weight * (l2_ + beta_ * one_by_rate_);
    const Number l1 = beyond < Number(0) ? -l1_ : l1_;
    column = {beyond == Number(0) ? beyond : beyond + l1, Number(0), Number(0), Number(0)};
  }

 private:
  const OnlineSettings& settings_;
  OnlineState<Number>& state_;
  const Number one_by_rate_, beta_, l1_, l2_;
};

}  // namespace
}  // namespace levin::kernels
