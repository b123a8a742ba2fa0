#include <gtest/gtest.h>
#include <levin/framework/kernels/cpu/kernels.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "framework/kernels/sparse_problem.h"

namespace levin::kernels::sparse_test {

using sparse_problem::Case;
using sparse_problem::SparseRows;

template <class Number>
void run(const Kernels& kernels, const SparseOutput<Number>& pass) {
  if constexpr (std::is_same_v<Number, float>) {
    kernels.sparse_output(pass);
  } else {
    kernels.sparse_output_double(pass);
  }
}
template <class Number>
void run(const Kernels& kernels, const SparseGradient<Number>& pass) {
  if constexpr (std::is_same_v<Number, float>) {
    kernels.sparse_gradient(pass);
  } else {
    kernels.sparse_gradient_double(pass);
  }
}

template <class Number>
std::vector<Number> random_numbers(int64_t size) {
  std::mt19937 random(5);
  std::uniform_real_distribution<Number> uniform(Number(-1), Number(1));
  std::vector<Number> numbers(static_cast<size_t>(size));
  for (Number& number : numbers) number = uniform(random);
  return numbers;
}

template <class Number>
constexpr double kTolerance = sizeof(Number) == 4 ? 1e-5 : 1e-13;

// The outputs, and the gradients that are added to ones, by comparison with a plain loop.
template <class Number>
void expect_the_formula(const Kernels& kernels, const Case& c, int64_t outputs) {
  const SparseRows rows(c);
  const int64_t stride = outputs == 1 ? 1 : padded_classes(outputs);
  const auto weight = random_numbers<Number>(c.columns * stride);
  const auto bias = random_numbers<Number>(outputs);
  std::vector<Number> out(static_cast<size_t>(c.count * stride), Number(7));
  run(kernels,
      SparseOutput<Number>{rows.view(), weight.data(), bias.data(), outputs, stride, out.data()});
  std::vector<double> expected(weight.size(), 1.0), of_bias(bias.size(), 1.0);
  for (int64_t i = 0; i < c.count; ++i) {
    for (int64_t k = 0; k < outputs; ++k) {
      const auto o = static_cast<size_t>(i * stride + k);
      auto sum = static_cast<double>(bias[static_cast<size_t>(k)]);
      rows.visit(i, [&](size_t column, double value) {
        const auto w = column * static_cast<size_t>(stride) + static_cast<size_t>(k);
        sum += value * static_cast<double>(weight[w]);
        expected[w] += value * static_cast<double>(out[o]);
      });
      ASSERT_NEAR(static_cast<double>(out[o]), sum, kTolerance<Number>) << "row " << i;
      of_bias[static_cast<size_t>(k)] += static_cast<double>(out[o]);
    }
  }
  std::vector<Number> gradient(weight.size(), Number(1)), bias_gradient(bias.size(), Number(1));
  run(kernels, SparseGradient<Number>{rows.view(), out.data(), outputs, stride, gradient.data(),
                                      bias_gradient.data()});
  for (size_t w = 0; w < gradient.size(); ++w) {
    if (static_cast<int64_t>(w) % stride >= outputs) continue;
    ASSERT_NEAR(static_cast<double>(gradient[w]), expected[w], 100 * kTolerance<Number>) << w;
  }
  for (size_t k = 0; k < bias.size(); ++k) {
    ASSERT_NEAR(static_cast<double>(bias_gradient[k]), of_bias[k], 100 * kTolerance<Number>);
  }
}

TEST(SparseKernels, outputs_and_gradients_are_those_of_the_formula) {
  for (const auto* kernels : available()) {
    for (const int64_t outputs : {1, 10, 16, 90}) {
      for (const int64_t columns : {1, 700}) {
        for (const int64_t count : {1, 7, 100}) {
          for (const bool has_values : {false, true}) {
            for (const bool in_place : {false, true}) {
              const Case c{columns, count, has_values, in_place};
              SCOPED_TRACE(std::string(kernels->name) + ", " + std::to_string(outputs) +
                           " outputs, " + describe(c));
              expect_the_formula<float>(*kernels, c, outputs);
              expect_the_formula<double>(*kernels, c, outputs);
            }
          }
        }
      }
    }
  }
}

TEST(SparseKernels, a_part_of_the_rows_gives_what_the_whole_gives_there) {
  for (const auto* kernels : available()) {
    for (const bool in_place : {false, true}) {
      const SparseRows rows({200, 60, true, in_place});
      const auto weight = random_numbers<float>(200);
      std::vector<float> whole(60), part(60);
      kernels->sparse_output({rows.view(), weight.data(), nullptr, 1, 1, whole.data()});
      for (const int64_t first : {0, 17, 40}) {
        const int64_t count = first == 40 ? 20 : 23;
        kernels->sparse_output(
            {rows.view().narrow(first, count), weight.data(), nullptr, 1, 1, part.data() + first});
      }
      EXPECT_EQ(part, whole) << kernels->name;
    }
  }
}

TEST(SparseKernels, nan_reaches_the_rows_that_have_it_and_no_others) {
  for (const auto* kernels : available()) {
    for (const int64_t outputs : {1, 3}) {
      const SparseRows rows({50, 40, true, false});
      const int64_t stride = outputs == 1 ? 1 : padded_classes(outputs);
      auto weight = random_numbers<float>(50 * stride);
      weight[static_cast<size_t>(20 * stride)] = std::numeric_limits<float>::quiet_NaN();
      std::vector<float> out(static_cast<size_t>(40 * stride));
      kernels->sparse_output({rows.view(), weight.data(), nullptr, outputs, stride, out.data()});
      int found = 0;
      for (int64_t i = 0; i < 40; ++i) {
        bool has_it = false;
        rows.visit(i, [&](size_t column, double) { has_it = has_it || column == 20; });
        found += has_it ? 1 : 0;
        EXPECT_EQ(std::isnan(out[static_cast<size_t>(i * stride)]), has_it) << kernels->name;
      }
      EXPECT_GT(found, 3);
      EXPECT_LT(found, 37);
    }
  }
}

// Each operation that yields a denormal number takes over 100 cycles on x86.
TEST(SparseKernels, gradients_too_small_for_full_precision_are_0) {
  for (const auto* kernels : available()) {
    const SparseRows rows({50, 40, true, false});
    std::vector<float> weight_gradient(50), gradient(40, 1e-38F);
    kernels->sparse_gradient({rows.view(), gradient.data(), 1, 1, weight_gradient.data(), nullptr});
    for (const float value : weight_gradient) {
      EXPECT_NE(std::fpclassify(value), FP_SUBNORMAL) << kernels->name;
    }
  }
}

}  // namespace levin::kernels::sparse_test
