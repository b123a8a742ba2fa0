#pragma once

// What online learners should give, by loops over all columns in double, for the tests of the
// kernels.
#include <levin/framework/kernels/cpu/kernels.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <type_traits>
#include <vector>

#include "framework/kernels/sparse_problem.h"

namespace levin::kernels::online_problem {

// A learner that changes every weight in every step, as online.h defines the steps.
class DenseLearner {
 public:
  DenseLearner(const OnlineSettings& settings, size_t columns)
      : weight(columns), settings_(settings), squares_(columns), z_(columns) {}

  // Makes a step of rows first to first + count - 1 and returns the sum of their losses.
  double step(const sparse_problem::SparseRows& rows, int64_t first, int64_t count,
              const std::vector<float>& targets, const std::vector<float>& row_weights) {
    double total = 0.0, of_bias = 0.0;
    std::vector<double> gradient(weight.size());
    for (int64_t i = first; i < first + count; ++i) {
      const auto at = static_cast<size_t>(i);
      double output = bias;
      rows.visit(i, [&](size_t column, double value) { output += value * weight[column]; });
      outputs.push_back(output);
      const double target = targets[at], share = row_weights[at];
      const bool is_squared = settings_.loss == RowLoss::squared;
      total += share * (is_squared ? 0.5 * (output - target) * (output - target)
                                   : std::log1p(std::exp(-std::abs(output))) +
                                         std::max(output, 0.0) - target * output);
      const double slope = is_squared ? output - target : 1 / (1 + std::exp(-output)) - target;
      const double g = share * slope / static_cast<double>(count);
      of_bias += g;
      rows.visit(i, [&](size_t column, double value) { gradient[column] += g * value; });
    }
    const double rate = settings_.learning_rate /
                        std::pow(1 + settings_.rate_decay * steps_++, settings_.rate_power);
    for (size_t c = 0; c < weight.size(); ++c) {
      move(gradient[c], rate, settings_.l1, settings_.l2, weight[c], squares_[c], z_[c]);
    }
    move(of_bias, rate, 0.0, 0.0, bias, bias_squares_, bias_z_);
    return total;
  }

  std::vector<double> weight, outputs;
  double bias = 0.0;

 private:
  void move(double g, double rate, double l1, double l2, double& w, double& squares,
            double& z) const {
    const double before = std::sqrt(squares);
    squares += g * g;
    if (settings_.method == OnlineMethod::ftrl) {
      const double by_rate = 1.0 / settings_.learning_rate;
      z += g - (std::sqrt(squares) - before) * by_rate * w;
      const double divisor = l2 + (settings_.beta + std::sqrt(squares)) * by_rate;
      w = std::abs(z) <= l1 ? 0.0 : -(z - std::copysign(l1, z)) / divisor;
      return;
    }
    if (settings_.method == OnlineMethod::adagrad) {
      rate = squares == 0.0 ? 0.0 : settings_.learning_rate / (std::sqrt(squares) + settings_.eps);
    }
    w = std::max(0.0, 1 - rate * l2) * w - rate * g;
    w = std::copysign(std::max(0.0, std::abs(w) - rate * l1), w);
  }

  OnlineSettings settings_;
  std::vector<double> squares_, z_;
  double bias_squares_ = 0.0, bias_z_ = 0.0;
  double steps_ = 0.0;
};

// Calls the kernels for one type of number.
template <class Number>
struct Calls {
  const Kernels& kernels;
  const OnlineSettings& settings;

  static constexpr bool kIsFloat = std::is_same_v<Number, float>;
  void start(OnlineState<Number>& state, const Number* weights) const {
    if constexpr (kIsFloat) {
      kernels.online_start(settings, state, weights);
    } else {
      kernels.online_start_double(settings, state, weights);
    }
  }
  double pass(OnlineState<Number>& state, const OnlinePass<Number>& pass) const {
    if constexpr (kIsFloat) return kernels.online_pass(settings, state, pass);
    if constexpr (!kIsFloat) return kernels.online_pass_double(settings, state, pass);
  }
  void finish(OnlineState<Number>& state) const {
    if constexpr (kIsFloat) {
      kernels.online_finish(settings, state);
    } else {
      kernels.online_finish_double(settings, state);
    }
  }
  std::vector<Number> weights(const OnlineState<Number>& state) const {
    std::vector<Number> all(static_cast<size_t>(state.row_size));
    if constexpr (kIsFloat) {
      kernels.online_weights(settings, state, all.data());
    } else {
      kernels.online_weights_double(settings, state, all.data());
    }
    return all;
  }
};

// A learner of the kernels, with its memory.
template <class Number>
class Learning {
 public:
  Learning(const Kernels& kernels, const OnlineSettings& settings, int64_t columns,
           const Number* weights = nullptr, double bias = 0.0)
      : calls{kernels, settings}, columns_(static_cast<size_t>(columns * kOnlineNumbers)) {
    state.columns = columns_.data();
    state.row_size = columns;
    state.bias = bias;
    calls.start(state, weights);
  }
  Learning(const Learning&) = delete;
  Learning& operator=(const Learning&) = delete;

  // Learns from `count` rows from the first one on and appends to `outputs`.
  double pass(const SparseView& rows, int64_t first, int64_t count,
              const std::vector<float>& targets, const std::vector<float>& row_weights,
              int64_t rows_a_step) {
    std::vector<int32_t> touched(static_cast<size_t>(rows_a_step * 50));
    const size_t before = outputs.size();
    outputs.resize(before + static_cast<size_t>(count));
    return calls.pass(state, {.rows = rows.narrow(first, count),
                              .targets = targets.data() + first,
                              .row_weights = row_weights.data() + first,
                              .rows_a_step = rows_a_step,
                              .touched = touched.data(),
                              .outputs = outputs.data() + before});
  }

  Calls<Number> calls;
  OnlineState<Number> state;
  std::vector<Number> outputs;

 private:
  std::vector<Number> columns_;
};

}  // namespace levin::kernels::online_problem
