#pragma once

// What must hold for the kernels for sparse rows (framework/kernels/cuda/sparse.h), on a GPU and
// for their twins on the CPU. A Machine has memory (`put`, `get`) and runs them (`run`), as OnCpu
// does.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "framework/kernels/sparse_cuda_problem.h"

namespace levin::kernels::cuda::sparse_checks {

/// The distance of two lists as a share of the length of the second; NaN fails.
inline void expect_near(const Floats& found, const std::vector<double>& expected,
                        double tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  double error = 0.0, norm = 1e-30;
  for (size_t i = 0; i < found.size(); ++i) {
    error += (static_cast<double>(found[i]) - expected[i]) *
             (static_cast<double>(found[i]) - expected[i]);
    norm += expected[i] * expected[i];
  }
  EXPECT_TRUE(std::sqrt(error) <= tolerance * std::sqrt(norm) + 1e-30) << std::sqrt(error / norm);
}
template <class Machine>
Floats product_by(Machine& machine, const Problem& p) {
  const size_t size = static_cast<size_t>(p.c.count) * p.out();
  float* const out = machine.put(Floats(size + 8, kNaN));
  machine.run(SparseProduct{.rows = p.view(machine),
                            .entries = p.entries(),
                            .weight = machine.put(p.weight),
                            .bias = p.c.has_bias ? machine.put(p.bias) : nullptr,
                            .outputs = p.c.outputs,
                            .out = out});
  const Floats behind = machine.get(out + size, 8);
  EXPECT_TRUE(std::all_of(behind.begin(), behind.end(), [](float x) { return std::isnan(x); }));
  return machine.get(out, size);
}

template <class Machine>
void check_product(const Case& c) {
  Machine machine;
  const Problem p(c);
  expect_near(product_by(machine, p), exact_product(p), 2e-6);
}

template <class Machine>
void check_scatter(const Case& c) {
  Machine machine;
  const Problem p(c);
  float* const gradient = machine.put(p.weight);  // is added to
  machine.run(SparseScatter{.rows = p.view(machine),
                            .entries = p.entries(),
                            .derivatives = machine.put(p.derivatives),
                            .outputs = c.outputs,
                            .weight_gradient = gradient});
  auto expected = exact_gradient(p, wide(p.derivatives));
  for (size_t i = 0; i < expected.size(); ++i) expected[i] += double{p.weight[i]};
  expect_near(machine.get(gradient, p.weight.size()), expected, 2e-6);
}

/// The sums by columns, or, if they are packed, by numbers of the columns that occur; others are
/// NaN.
template <class Machine>
Floats sums_by(Machine& machine, const Problem& p, bool packed, size_t& width) {
  std::vector<int64_t> order(p.indices.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  const auto column = [&p](int64_t entry) { return p.indices[static_cast<size_t>(entry)]; };
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return column(a) < column(b); });
  std::vector<int32_t> places;
  int32_t number = -1;
  for (size_t i = 0; i < order.size(); ++i) {
    if (i == 0 || column(order[i]) != column(order[i - 1])) ++number;
    places.push_back(packed ? number : column(order[i]));
  }
  width = packed ? static_cast<size_t>(number + 1) : p.columns();
  SparseSums sums{.rows = p.view(machine),
                  .entries = p.entries(),
                  .derivatives = machine.put(p.derivatives),
                  .outputs = p.c.outputs,
                  .places = machine.put(places),
                  .order = machine.put(order),
                  .sums = machine.put(Floats(p.out() * width, kNaN)),
                  .width = static_cast<int64_t>(width)};
  sums.scratch = machine.put(Floats(static_cast<size_t>(scratch_size(sums)), kNaN));
  machine.run(sums);
  return machine.get(sums.sums, p.out() * width);
}

template <class Machine>
void check_sums(const Case& c) {
  const Problem p(c);
  const auto expected = exact_gradient(p, wide(p.derivatives));
  std::vector<bool> occurs(p.columns());
  p.for_entries([&](size_t, size_t column, double, size_t) { occurs[column] = true; });
  for (const bool packed : {false, true}) {
    SCOPED_TRACE(packed ? "packed" : "by columns");
    Machine machine;
    size_t width = 0;
    const Floats found = sums_by(machine, p, packed, width);
    Floats of_columns;
    std::vector<double> wanted;
    for (size_t o = 0; o < p.out(); ++o) {
      for (size_t column = 0, number = 0; column < p.columns(); ++column) {
        const size_t place = o * width + (packed ? number : column);
        if (occurs[column]) {
          of_columns.push_back(found[place]);
          wanted.push_back(expected[o * p.columns() + column]);
          ++number;
        } else if (!packed) {
          ASSERT_TRUE(std::isnan(found[place])) << "column " << column << " wasn't to be written";
        }
      }
    }
    expect_near(of_columns, wanted, 2e-6);
  }
}

struct RegressionResult {
  Floats derivatives, weight_gradient, bias_gradient, loss;
};
template <class Machine>
RegressionResult regression_by(Machine& machine, const Problem& p, bool has_gradient) {
  const auto rows = static_cast<size_t>(p.c.count);
  SparseRegression pass{
      .rows = p.view(machine),
      .entries = p.entries(),
      .labels = machine.put(p.labels),
      .weight = machine.put(p.weight),
      .bias = p.c.has_bias ? machine.put(p.bias) : nullptr,
      .outputs = p.c.outputs,
      .derivatives = machine.put(Floats(rows * p.out(), kNaN)),
      .weight_gradient = has_gradient ? machine.put(Floats(p.weight.size(), 0.0F)) : nullptr,
      .bias_gradient = p.c.has_bias ? machine.put(Floats(p.out(), kNaN)) : nullptr,
      .loss = machine.put(Floats(1, kNaN))};
  pass.scratch = machine.put(Floats(static_cast<size_t>(scratch_size(pass)), kNaN));
  machine.run(pass);
  return {machine.get(pass.derivatives, rows * p.out()),
          has_gradient ? machine.get(pass.weight_gradient, p.weight.size()) : Floats(),
          p.c.has_bias ? machine.get(pass.bias_gradient, p.out()) : Floats(),
          machine.get(pass.loss, 1)};
}

template <class Machine>
void check_regression(const Case& c) {
  const Problem p(c);
  auto derivatives = exact_product(p);
  const double loss = exact_loss(p, derivatives);
  std::vector<double> of_bias(p.c.has_bias ? p.out() : 0);
  for (size_t i = 0; c.has_bias && i < derivatives.size(); ++i)
    of_bias[i % p.out()] += derivatives[i];
  for (const bool has_gradient : {true, false}) {
    Machine machine;
    const auto found = regression_by(machine, p, has_gradient);
    expect_near(found.loss, {loss}, 5e-6);
    expect_near(found.derivatives, derivatives, 2e-5);
    if (c.has_bias) expect_near(found.bias_gradient, of_bias, 1e-4);
    if (has_gradient) expect_near(found.weight_gradient, exact_gradient(p, derivatives), 2e-5);
  }
}

template <class Machine>
void check_that_nan_passes() {
  for (const int64_t outputs : {1, 3}) {
    Problem p({20, 30, outputs, 9, true, true});
    p.weight[0] = kNaN;  // of column 0, which every row has that isn't empty
    Machine machine;
    const auto found = regression_by(machine, p, true);
    EXPECT_TRUE(std::isnan(found.loss[0]));
    EXPECT_TRUE(std::isnan(found.weight_gradient[0]));
  }
}

/// The parameter behind the squares, if there are some.
template <class Machine>
Floats step_by(Machine& machine, bool has_squares, bool has_rows) {
  Problem p({1, 1, 1, 1, true, true});
  const int64_t columns = 700;
  const size_t size = has_rows ? 3 * 700 : 700;
  std::vector<int64_t> rows, at;
  for (int64_t row = 0; row < (has_rows ? 3 : 1); ++row) {
    for (int64_t column = row; column < columns; column += 2) {
      rows.push_back(row);
      at.push_back(column);
    }
  }
  Floats squares = p.numbers(static_cast<int64_t>(size));
  for (float& number : squares) number *= number;
  SparseStep step{.parameter = machine.put(p.numbers(static_cast<int64_t>(size))),
                  .squares = has_squares ? machine.put(squares) : nullptr,
                  .rows = has_rows ? machine.put(rows) : nullptr,
                  .columns = machine.put(at),
                  .gradient = machine.put(p.numbers(static_cast<int64_t>(at.size()))),
                  .count = static_cast<int64_t>(at.size()),
                  .row_size = columns,
                  .rate = 0.3,
                  .eps = 1e-10};
  const Floats parameter = machine.get(step.parameter, size);
  const Floats gradient = machine.get(step.gradient, at.size());
  machine.run(step);
  auto expected = wide(parameter);
  auto expected_squares = wide(squares);
  for (size_t i = 0; i < at.size(); ++i) {
    const auto place = static_cast<size_t>(rows[i] * columns + at[i]);
    const double g = double{gradient[i]};
    expected_squares[place] += g * g;
    expected[place] -= 0.3 * (has_squares ? g / (std::sqrt(expected_squares[place]) + 1e-10) : g);
  }
  Floats found = machine.get(step.parameter, size);
  expect_near(found, expected, 1e-6);
  if (!has_squares) return found;
  const Floats found_squares = machine.get(step.squares, size);
  expect_near(found_squares, expected_squares, 1e-6);
  found.insert(found.end(), found_squares.begin(), found_squares.end());
  return found;
}

/// What has no atomic additions and no exp is the same to the bit as on the CPU.
template <class Machine>
void check_bits(const Case& c) {
  const Problem p(c);
  Machine machine;
  OnCpu cpu;
  size_t width = 0;
  EXPECT_EQ(product_by(machine, p), product_by(cpu, p));
  EXPECT_EQ(sums_by(machine, p, true, width), sums_by(cpu, p, true, width));
}

}  // namespace levin::kernels::cuda::sparse_checks
