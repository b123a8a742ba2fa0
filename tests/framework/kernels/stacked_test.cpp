#include <gtest/gtest.h>
#include <levin/framework/kernels/cpu/stacked.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace levin::kernels::stacked_test {
namespace {

struct Case {
  int64_t classes;
  int64_t features;
  int64_t rows;
};

// Whole vectors and other sizes, one group of classes and several, one row and many.
const std::vector<Case> kCases = {{2, 1, 1},   {3, 13, 7},  {10, 64, 32}, {10, 16, 33},
                                  {11, 20, 5}, {23, 9, 64}, {1, 5, 48}};

size_t at(int64_t place) { return static_cast<size_t>(place); }

/// Random numbers of one case, and the results in float64 by the plain formula.
struct Problem {
  explicit Problem(const Case& given) : c(given), stride(padded_rows(c.rows)) {
    std::mt19937 random(11);
    std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
    width = padded_rows(c.features);
    input.resize(at(c.rows * width));
    columns.resize(at(c.features * stride));
    weight.resize(at(c.classes * c.features));
    bias.resize(at(c.classes));
    for (auto* numbers : {&input, &columns, &weight, &bias}) {
      for (float& number : *numbers) number = uniform(random);
    }
    for (int64_t row = 0; row < c.rows; ++row) {
      labels.push_back(static_cast<int64_t>(random() % static_cast<uint32_t>(c.classes)));
      for (int64_t f = 0; f < c.features; ++f) {
        columns[at(f * stride + row)] = input[at(row * width + f)];
      }
    }
    outputs.resize(at(c.classes * stride));
  }

  double expected_output(int64_t k, int64_t row) const {
    double sum = static_cast<double>(bias[at(k)]);
    for (int64_t f = 0; f < c.features; ++f) {
      sum += static_cast<double>(weight[at(k * c.features + f)]) *
             static_cast<double>(input[at(row * width + f)]);
    }
    return sum;
  }

  StackedOutputs output_pass() {
    return {.columns = columns.data(),
            .stride = stride,
            .rows = c.rows,
            .features = c.features,
            .weight = weight.data(),
            .bias = bias.data(),
            .outputs = c.classes,
            .out = outputs.data(),
            .out_stride = stride};
  }
  StackedSoftmax softmax_pass() {
    return {.outputs = outputs.data(),
            .stride = stride,
            .rows = c.rows,
            .classes = c.classes,
            .labels = labels.data(),
            .multiplier = 0.5F};
  }

  Case c;
  int64_t stride;
  int64_t width;
  std::vector<float> input, columns, weight, bias, outputs;
  std::vector<int64_t> labels;
};

std::string name_of(const StackedKernels& kernels, const Case& c) {
  return std::string(kernels.name) + " classes " + std::to_string(c.classes) + " features " +
         std::to_string(c.features) + " rows " + std::to_string(c.rows);
}

}  // namespace

TEST(StackedKernels, outputs_losses_and_gradients_are_those_of_the_formula) {
  for (const Case& c : kCases) {
    for (const auto* kernels : available_stacked()) {
      SCOPED_TRACE(name_of(*kernels, c));
      Problem problem(c);
      kernels->outputs(problem.output_pass());
      double loss = 0.0;
      std::vector<double> gradient(at(c.classes * c.rows));
      int64_t hits = 0;
      for (int64_t row = 0; row < c.rows; ++row) {
        std::vector<double> own;
        double sum = 0.0;
        for (int64_t k = 0; k < c.classes; ++k) {
          own.push_back(problem.expected_output(k, row));
          sum += std::exp(own.back());
          EXPECT_NEAR(problem.outputs[at(k * problem.stride + row)], own.back(), 2e-5);
        }
        const int64_t label = problem.labels[at(row)];
        loss += std::log(sum) - own[at(label)];
        hits += std::max_element(own.begin(), own.end()) - own.begin() == label ? 1 : 0;
        for (int64_t k = 0; k < c.classes; ++k) {
          gradient[at(k * c.rows + row)] =
              0.5 * (std::exp(own[at(k)]) / sum - (k == label ? 1.0 : 0.0));
        }
      }
      const auto score = kernels->score(problem.softmax_pass());
      EXPECT_NEAR(score.loss, loss, 1e-5 * static_cast<double>(c.rows));
      EXPECT_EQ(score.hits, hits);
      EXPECT_NEAR(kernels->softmax(problem.softmax_pass()), loss,
                  1e-5 * static_cast<double>(c.rows));
      std::vector<float> of_weight(problem.weight.size(), 7.0F), of_bias(problem.bias.size(), 7.0F);
      kernels->gradients({.input = problem.input.data(),
                          .width = problem.width,
                          .rows = c.rows,
                          .features = c.features,
                          .gradient = problem.outputs.data(),
                          .stride = problem.stride,
                          .outputs = c.classes,
                          .weight_gradient = of_weight.data(),
                          .bias_gradient = of_bias.data()});
      for (int64_t k = 0; k < c.classes; ++k) {
        double sum = 0.0;
        for (int64_t row = 0; row < problem.stride; ++row) {
          const double expected = row < c.rows ? gradient[at(k * c.rows + row)] : 0.0;
          ASSERT_NEAR(problem.outputs[at(k * problem.stride + row)], expected, 1e-6);
          sum += expected;
        }
        EXPECT_NEAR(of_bias[at(k)], sum, 1e-5);
        for (int64_t f = 0; f < c.features; ++f) {
          double product = 0.0;
          for (int64_t row = 0; row < c.rows; ++row) {
            product += gradient[at(k * c.rows + row)] *
                       static_cast<double>(problem.input[at(row * problem.width + f)]);
          }
          ASSERT_NEAR(of_weight[at(k * c.features + f)], product, 1e-5);
        }
      }
    }
  }
}

// What a model that diverges must show.
TEST(StackedKernels, the_loss_of_outputs_that_are_no_numbers_is_no_number) {
  for (const auto* kernels : available_stacked()) {
    Problem problem({3, 4, 5});
    problem.weight[2] = std::numeric_limits<float>::quiet_NaN();
    kernels->outputs(problem.output_pass());
    EXPECT_TRUE(std::isnan(kernels->score(problem.softmax_pass()).loss)) << kernels->name;
    EXPECT_TRUE(std::isnan(kernels->softmax(problem.softmax_pass()))) << kernels->name;
  }
}

TEST(StackedKernels, of_equal_outputs_the_first_counts_as_the_largest) {
  for (const auto* kernels : available_stacked()) {
    Problem problem({4, 2, 20});
    std::fill(problem.outputs.begin(), problem.outputs.end(), 1.0F);
    const auto hits = std::count(problem.labels.begin(), problem.labels.end(), 0);
    ASSERT_GT(hits, 0);
    EXPECT_EQ(kernels->score(problem.softmax_pass()).hits, hits) << kernels->name;
  }
}

}  // namespace levin::kernels::stacked_test
