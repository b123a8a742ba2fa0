#pragma once

// What must hold for the kernels for sparse rows (framework/kernels/cuda/sparse.h), on a GPU and
// for their twins on the CPU. A Machine has memory (`put`, `get`) and the functions.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <list>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include <levin/framework/kernels/cuda/sparse.h>

namespace levin::kernels::cuda::sparse_checks {

using Floats = std::vector<float>;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// The twins on the CPU.
class OnCpu {
 public:
  /// Returns a copy of the numbers in the machine's memory, which stays there as long as this.
  template <class T>
  T* put(const std::vector<T>& numbers) {
    auto& bytes = memory_.emplace_back(numbers.size() * sizeof(T) + 1);
    if (!numbers.empty()) std::memcpy(bytes.data(), numbers.data(), numbers.size() * sizeof(T));
    return reinterpret_cast<T*>(bytes.data());
  }
  Floats get(const float* from, size_t count) const { return {from, from + count}; }
  void run(const SparseProduct& product) const { sparse_product_on_cpu(product); }
  void run(const SparseScatter& scatter) const { sparse_scatter_on_cpu(scatter); }
  void run(const SparseSums& sums) const { sparse_sums_on_cpu(sums); }
  void run(const SparseRegression& pass) const { sparse_regression_on_cpu(pass); }
  void run(const SparseStep& step) const { sparse_step_on_cpu(step); }

 private:
  std::list<std::vector<char>> memory_;
};

struct Case {
  int64_t count;
  int64_t columns;
  int64_t outputs;
  int64_t most_entries;  // of a row
  bool has_values;       // else all are 1
  bool has_bias;
};
/// Empty rows, single ones, a column that all rows have (column 0), more rows than a block has,
/// rows that a whole warp shares, and more outputs than a block of threads.
inline const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {1, 1, 1, 1, true, true},       {1, 9, 2, 0, true, true},
      {7, 40, 1, 12, true, false},    {33, 100, 3, 40, false, true},
      {500, 60, 1, 39, false, true},  {700, 3000, 10, 39, true, true},
      {40, 900, 5, 700, true, false}, {9, 2000, 1, 1500, true, true},
      {64, 70, 64, 30, true, true}};
  return all;
}
inline std::string name_of(const Case& c) {
  return std::to_string(c.count) + " rows of up to " + std::to_string(c.most_entries) + " of " +
         std::to_string(c.columns) + " columns" + (c.has_values ? " with values" : "") + ", " +
         std::to_string(c.outputs) + " outputs" + (c.has_bias ? " with a bias" : "");
}

/// Random rows, weights, and what belongs to them.
struct Problem {
  explicit Problem(const Case& given) : c(given), random(3) {
    for (int64_t row = 0; row < c.count; ++row) add_row(row % 5 == 3);
    weight = numbers(c.outputs * c.columns);
    if (c.has_bias) bias = numbers(c.outputs);
    derivatives = numbers(c.count * c.outputs);
    for (int64_t row = 0; row < c.count; ++row) {
      labels.push_back(
          static_cast<int64_t>(random() % static_cast<uint64_t>(std::max<int64_t>(2, c.outputs))));
    }
  }
  Floats numbers(int64_t count) {
    std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
    Floats result(static_cast<size_t>(count));
    for (float& number : result) number = uniform(random);
    return result;
  }
  int64_t entries() const { return offsets.back(); }
  /// Calls use(row, column, value, entry).
  template <class Use>
  void for_entries(Use use) const {
    for (size_t row = 0; row + 1 < offsets.size(); ++row) {
      for (auto i = static_cast<size_t>(offsets[row]); i < static_cast<size_t>(offsets[row + 1]);
           ++i) {
        use(row, static_cast<size_t>(indices[i]), c.has_values ? double{values[i]} : 1.0, i);
      }
    }
  }
  template <class Machine>
  SparseView view(Machine& machine) const {
    return {.offsets = machine.put(offsets),
            .indices = machine.put(indices),
            .values = c.has_values ? machine.put(values) : nullptr,
            .count = c.count,
            .row_size = c.columns};
  }
  size_t out() const { return static_cast<size_t>(c.outputs); }
  size_t columns() const { return static_cast<size_t>(c.columns); }

  Case c;
  std::mt19937_64 random;
  std::vector<int64_t> offsets = {0}, labels;
  std::vector<int32_t> indices;
  Floats values, weight, bias, derivatives;

 private:
  void add_row(bool is_empty) {
    const int64_t most = is_empty ? 0 : c.most_entries;
    for (int64_t column = 0, left = most; column < c.columns && left > 0; ++column) {
      // Each of the columns that are left with the chance that takes `left` of them.
      const auto rest = static_cast<uint64_t>(c.columns - column);
      if (column > 0 && random() % rest >= static_cast<uint64_t>(left)) continue;
      indices.push_back(static_cast<int32_t>(column));
      values.push_back(0.25F + static_cast<float>(random() % 1000) / 500.0F);
      --left;
    }
    offsets.push_back(static_cast<int64_t>(indices.size()));
  }
};

inline std::vector<double> wide(const Floats& numbers) { return {numbers.begin(), numbers.end()}; }

inline std::vector<double> exact_product(const Problem& p) {
  std::vector<double> out(static_cast<size_t>(p.c.count) * p.out());
  for (size_t i = 0; i < out.size(); ++i) out[i] = p.c.has_bias ? double{p.bias[i % p.out()]} : 0.0;
  p.for_entries([&](size_t row, size_t column, double value, size_t) {
    for (size_t o = 0; o < p.out(); ++o) {
      out[row * p.out() + o] += value * double{p.weight[o * p.columns() + column]};
    }
  });
  return out;
}
/// derivatives^T . rows
inline std::vector<double> exact_gradient(const Problem& p,
                                          const std::vector<double>& derivatives) {
  std::vector<double> sums(p.out() * p.columns());
  p.for_entries([&](size_t row, size_t column, double value, size_t) {
    for (size_t o = 0; o < p.out(); ++o) {
      sums[o * p.columns() + column] += value * derivatives[row * p.out() + o];
    }
  });
  return sums;
}

/// The mean loss; `z` becomes its derivatives by the outputs.
inline double exact_loss(const Problem& p, std::vector<double>& z) {
  double loss = 0.0;
  const auto rows = static_cast<double>(p.c.count);
  for (size_t row = 0; row < static_cast<size_t>(p.c.count); ++row) {
    double* const own = z.data() + row * p.out();
    const auto label = static_cast<size_t>(p.labels[row]);
    if (p.out() == 1) {
      loss += std::log1p(std::exp(*own)) - static_cast<double>(label) * *own;
      *own = (1.0 / (1.0 + std::exp(-*own)) - static_cast<double>(label)) / rows;
      continue;
    }
    double total = 0.0;
    for (size_t o = 0; o < p.out(); ++o) total += std::exp(own[o]);
    loss += std::log(total) - own[label];
    for (size_t o = 0; o < p.out(); ++o) {
      own[o] = (std::exp(own[o]) / total - (o == label ? 1.0 : 0.0)) / rows;
    }
  }
  return loss / rows;
}

}  // namespace levin::kernels::cuda::sparse_checks
