#include <gtest/gtest.h>
#include <levin/framework/kernels/cpu/kernels.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "framework/kernels/kernels_problem.h"

namespace levin::kernels::kernels_test {

// Every vector unit of this machine, widths that are whole vectors and that aren't, one class group
// and several, one row, a block and several.
TEST(Kernels, loss_and_gradient_are_those_of_the_formula) {
  for (const int64_t classes : {2, 3, 5, 10, 17}) {
    for (const int64_t features : {1, 4, 13, 64, 784}) {
      for (const int64_t count : {1, 7, 130}) {
        for (const bool is_bytes : {false, true}) {
          for (const bool in_place : {false, true}) {
            Problem problem({classes, features, count, is_bytes, in_place});
            for (const auto* kernels : available()) {
              SCOPED_TRACE(std::string(kernels->name) + " classes " + std::to_string(classes) +
                           " features " + std::to_string(features) + " rows " +
                           std::to_string(count) + (is_bytes ? " bytes" : "") +
                           (in_place ? " in place" : ""));
              problem.expect_near(kernels->softmax_regression(problem.pass()));
            }
          }
        }
      }
    }
  }
}

// Blocks of a pass have the same number of rows, but for the last one.
TEST(Kernels, many_blocks_give_the_sums_of_the_formula) {
  for (const int64_t classes : {10, 17}) {
    for (const bool is_bytes : {false, true}) {
      Problem problem({classes, 100, 777, is_bytes, true});
      for (const auto* kernels : available()) {
        SCOPED_TRACE(std::string(kernels->name) + " classes " + std::to_string(classes) +
                     (is_bytes ? " bytes" : ""));
        problem.expect_near(kernels->softmax_regression(problem.pass()));
      }
    }
  }
}

// Some kernels split weights and gradients into digits, whose unit depends on the largest one.
TEST(Kernels, small_weights_beside_large_ones_of_other_classes_keep_their_precision) {
  for (const auto* kernels : available()) {
    Problem problem({3, 64, 70, true, false});
    for (size_t i = 0; i < 64; ++i) problem.weight[i] *= 1e-6F;
    for (size_t i = 64; i < 128; ++i) problem.weight[i] *= 1e2F;
    const auto pass = problem.pass();
    std::vector<float> out(70 * 3), scratch(static_cast<size_t>(linear_scratch_size(3, 64)));
    kernels->linear_output({.rows = pass.rows,
                            .weight = pass.weight,
                            .bias = nullptr,
                            .outputs = 3,
                            .out = out.data(),
                            .stride = 3,
                            .scratch = scratch.data()});
    for (int64_t r = 0; r < 70; ++r) {
      for (int64_t k = 0; k < 3; ++k) {
        double sum = 0.0, magnitude = 0.0;
        for (int64_t i = 0; i < 64; ++i) {
          const double product =
              static_cast<double>(problem.weight[static_cast<size_t>(k * 64 + i)]) *
              problem.value(r, i);
          sum += product;
          magnitude += std::abs(product);
        }
        ASSERT_NEAR(out[static_cast<size_t>(r * 3 + k)], sum, 1e-6 * magnitude) << kernels->name;
      }
    }
  }
}

// What threads do that share a batch: each takes some of the rows, and the gradients are added up.
TEST(Kernels, rows_taken_in_two_parts_give_the_sums_of_the_formula) {
  constexpr int64_t kRows = 100;
  for (const auto* kernels : available()) {
    for (const int64_t first : {1, 37, 64}) {
      for (const bool is_bytes : {false, true}) {
        for (const bool in_place : {false, true}) {
          SCOPED_TRACE(std::string(kernels->name) + " first part of " + std::to_string(first) +
                       (is_bytes ? " bytes" : "") + (in_place ? " in place" : ""));
          Problem problem({3, 13, kRows, is_bytes, in_place});
          const auto whole = problem.pass();
          auto part = whole;
          part.rows = whole.rows.narrow(0, first);
          double loss = kernels->softmax_regression(part);
          part.rows = whole.rows.narrow(first, kRows - first);
          part.labels = whole.labels + first;
          loss += kernels->softmax_regression(part);
          problem.expect_near(loss);
        }
      }
    }
  }
}

TEST(Kernels, gradients_are_added_to_what_is_there) {
  for (const auto* kernels : available()) {
    for (const int64_t features : {13, 64}) {
      for (const int64_t count : {9, 40}) {  // with few rows, the last class isn't left out
        Problem problem({3, features, count, false, false});
        const auto pass = problem.pass();
        kernels->softmax_regression(pass);
        const auto once = problem.weight_gradient;
        kernels->softmax_regression(pass);
        for (size_t i = 0; i < once.size(); ++i) {
          EXPECT_NEAR(problem.weight_gradient[i], 2.0F * once[i], 1e-6) << kernels->name;
        }
      }
    }
  }
}

// Rows are fetched into the cache, and nothing else is done with them.
TEST(Kernels, rows_of_the_next_pass_change_no_bit) {
  for (const auto* kernels : available()) {
    for (const bool is_bytes : {false, true}) {
      for (const int64_t next : {1, 60, 130, 400}) {
        Problem problem({10, 64, 130, is_bytes, true});
        auto pass = problem.pass();
        const double loss = kernels->softmax_regression(pass);
        const auto gradient = problem.weight_gradient;
        const std::vector<int64_t> numbers(static_cast<size_t>(next), 5);
        pass = problem.pass();
        pass.rows.next_numbers = numbers.data();
        pass.rows.next_count = next;
        EXPECT_EQ(kernels->softmax_regression(pass), loss) << kernels->name;
        EXPECT_EQ(problem.weight_gradient, gradient) << kernels->name;
      }
    }
  }
}

TEST(Kernels, parts_of_a_pass_know_the_next_rows_of_their_places) {
  const std::vector<int64_t> numbers(10), next(8);
  const RowView rows{.numbers = numbers.data(),
                     .count = 10,
                     .row_size = 1,
                     .next_numbers = next.data(),
                     .next_count = 8};
  EXPECT_EQ(rows.narrow(0, 5).next_numbers, next.data());
  EXPECT_EQ(rows.narrow(0, 5).next_count, 5);
  EXPECT_EQ(rows.narrow(5, 5).next_numbers, next.data() + 5);
  EXPECT_EQ(rows.narrow(5, 5).next_count, 3);
  EXPECT_EQ(rows.narrow(9, 1).next_count, 0);
  EXPECT_EQ(rows.narrow(9, 1).next_numbers, nullptr);
}

// The last class's weights are subtracted from those of the others.
TEST(Kernels, a_number_that_is_added_to_all_weights_changes_little) {
  for (const auto* kernels : available()) {
    Problem problem({10, 64, 130, false, true});
    for (float& weight : problem.weight) weight += 1000.0F;
    kernels->softmax_regression(problem.pass());
    Problem same({10, 64, 130, false, true});
    for (size_t i = 0; i < same.weight.size(); ++i) {
      same.weight[i] = problem.weight[i] - 1000.0F;  // exact: both are near 1,000
    }
    kernels->softmax_regression(same.pass());
    for (size_t i = 0; i < same.weight_gradient.size(); ++i) {
      ASSERT_NEAR(problem.weight_gradient[i], same.weight_gradient[i], 1e-6) << kernels->name;
    }
  }
}

TEST(Kernels, logits_far_apart_give_a_finite_loss_and_nan_stays_nan) {
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  for (const auto* kernels : available()) {
    for (const bool is_bytes : {false, true}) {
      SCOPED_TRACE(std::string(kernels->name) + (is_bytes ? " bytes" : ""));
      Problem problem({10, 16, 4, is_bytes, false});
      problem.bias[3] = 500.0F;
      const double loss = kernels->softmax_regression(problem.pass());
      EXPECT_TRUE(std::isfinite(loss));
      EXPECT_GT(loss, 400.0);
      problem.bias[3] = kNaN;
      EXPECT_TRUE(std::isnan(kernels->softmax_regression(problem.pass())));
      for (const float value : problem.weight_gradient) ASSERT_TRUE(std::isnan(value));
      problem.bias[3] = 0.0F;
      for (const float bad : {kNaN, std::numeric_limits<float>::infinity()}) {
        problem.weight[5] = bad;
        EXPECT_TRUE(std::isnan(kernels->softmax_regression(problem.pass()))) << bad;
        EXPECT_TRUE(std::isnan(problem.weight_gradient[7])) << bad;
      }
    }
    Problem problem({10, 16, 4, false, false});
    problem.floats[5] = kNaN;
    EXPECT_TRUE(std::isnan(kernels->softmax_regression(problem.pass()))) << kernels->name;
  }
}

TEST(Kernels, logits_become_the_gradient_of_their_cross_entropy) {
  std::mt19937 random(7);
  std::uniform_real_distribution<float> uniform(-4.0F, 4.0F);
  for (const auto* kernels : available()) {
    for (const int64_t classes : {1, 2, 10, 16, 33}) {
      for (const int64_t count : {1, 5, 70}) {
        SCOPED_TRACE(std::string(kernels->name) + " classes " + std::to_string(classes) + " rows " +
                     std::to_string(count));
        const int64_t stride = padded_classes(classes);
        std::vector<float> z(static_cast<size_t>(count * stride));
        std::vector<float> scratch(static_cast<size_t>(3 * stride));
        for (float& value : z) value = uniform(random);
        std::vector<int64_t> labels;
        for (int64_t r = 0; r < count; ++r) {
          labels.push_back(static_cast<int64_t>(random() % static_cast<uint32_t>(classes)));
        }
        auto gradient = z;
        const double loss = kernels->softmax_gradient({.logits = gradient.data(),
                                                       .stride = stride,
                                                       .count = count,
                                                       .classes = classes,
                                                       .labels = labels.data(),
                                                       .multiplier = 0.5F,
                                                       .scratch = scratch.data()});
        double expected = 0.0;
        for (int64_t r = 0; r < count; ++r) {
          const float* row = z.data() + r * stride;
          double sum = 0.0;
          for (int64_t c = 0; c < classes; ++c) sum += std::exp(static_cast<double>(row[c]));
          const int64_t label = labels[static_cast<size_t>(r)];
          expected += std::log(sum) - static_cast<double>(row[label]);
          for (int64_t c = 0; c < stride; ++c) {
            const double p = c < classes ? std::exp(static_cast<double>(row[c])) / sum : 0.0;
            ASSERT_NEAR(gradient[static_cast<size_t>(r * stride + c)],
                        0.5 * (p - (c == label ? 1.0 : 0.0)), 1e-6);
          }
        }
        EXPECT_NEAR(loss, expected, 1e-6 * static_cast<double>(count));
      }
    }
  }
}

// Each operation that yields a denormal number takes over 100 cycles on x86.
TEST(Kernels, gradients_too_small_for_full_precision_are_0) {
  for (const auto* kernels : available()) {
    Problem problem({10, 16, 4, false, false});
    problem.bias[3] = 95.0F;
    kernels->softmax_regression(problem.pass());
    for (const float value : problem.weight_gradient) {
      EXPECT_NE(std::fpclassify(value), FP_SUBNORMAL) << kernels->name;
    }
  }
}

TEST(Kernels, bytes_become_scaled_floats) {
  for (const auto* kernels : available()) {
    std::vector<uint8_t> bytes(77);
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 3);
    std::vector<float> out(bytes.size());
    kernels->convert_bytes(bytes.data(), 77, 0.5F, 2.0F, out.data());
    for (size_t i = 0; i < bytes.size(); ++i) {
      EXPECT_EQ(out[i], (static_cast<float>(bytes[i]) - 2.0F) * 0.5F) << kernels->name;
    }
  }
}

// By comparison with float64: the products with rows that are read in place, one and several groups
// of outputs, and a matrix of results that is wider than it need be.
void expect_linear_layer(const Kernels& kernels, Problem& problem, int64_t outputs,
                         int64_t features, int64_t count) {
  const auto pass = problem.pass();
  const int64_t stride = outputs + 3;
  std::vector<float> out(static_cast<size_t>(count * stride), 7.0F);
  std::vector<float> scratch(static_cast<size_t>(linear_scratch_size(outputs, features)));
  kernels.linear_output({.rows = pass.rows,
                         .weight = pass.weight,
                         .bias = pass.bias,
                         .outputs = outputs,
                         .out = out.data(),
                         .stride = stride,
                         .scratch = scratch.data()});
  problem.expect_output(out, stride);
  const auto gradient = problem.output_gradient(stride);
  kernels.linear_gradient({.rows = pass.rows,
                           .gradient = gradient.data(),
                           .stride = stride,
                           .outputs = outputs,
                           .weight_gradient = pass.weight_gradient,
                           .bias_gradient = pass.bias_gradient,
                           .scratch = scratch.data()});
  problem.expect_gradient_of(gradient, stride);
}

TEST(Kernels, linear_layers_are_those_of_the_formula) {
  for (const int64_t outputs : {1, 10, 32}) {
    for (const int64_t features : {1, 13, 64, 784}) {
      for (const int64_t count : {1, 7, 130}) {
        for (const bool is_bytes : {false, true}) {
          Problem problem({outputs, features, count, is_bytes, true});
          for (const auto* kernels : available()) {
            SCOPED_TRACE(std::string(kernels->name) + " outputs " + std::to_string(outputs) +
                         " features " + std::to_string(features) + " rows " +
                         std::to_string(count) + (is_bytes ? " bytes" : ""));
            expect_linear_layer(*kernels, problem, outputs, features, count);
          }
        }
      }
    }
  }
}

TEST(Kernels, numbers_are_added) {
  for (const auto* kernels : available()) {
    std::vector<float> from(77), to(77, 1.0F);
    for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<float>(i);
    kernels->add(from.data(), 76, to.data());
    for (size_t i = 0; i < 76; ++i) EXPECT_EQ(to[i], static_cast<float>(i) + 1.0F) << kernels->name;
    EXPECT_EQ(to[76], 1.0F) << kernels->name;
  }
}

TEST(Kernels, a_step_of_adam_is_that_of_the_formula) {
  constexpr size_t kCount = 77;
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<float> parameter(kCount), gradient(kCount), mean(kCount), square(kCount);
  for (size_t i = 0; i < kCount; ++i) {
    const float size = std::pow(10.0F, static_cast<float>(i % 16) - 12.0F);
    parameter[i] = normal(random);
    gradient[i] = normal(random) * size;
    mean[i] = normal(random) * size;
    square[i] = normal(random) * normal(random) * size * size;
    square[i] = std::abs(square[i]);
  }
  gradient[3] = mean[3] = square[3] = 0.0F;
  for (const auto* kernels : available()) {
    auto p = parameter, m = mean, v = square;
    AdamStep step{.parameter = p.data(),
                  .gradient = gradient.data(),
                  .mean = m.data(),
                  .mean_square = v.data(),
                  .count = kCount,
                  .sign = -1.0F,
                  .weight_decay = 1e-3F,
                  .shrink = 0.9F,
                  .rate = 0.1F,
                  .root_factor = 2.0F};
    kernels->adam_step(step);
    for (size_t i = 0; i < kCount; ++i) {
      const double old = parameter[i];
      const double g = 1e-3F * old - static_cast<double>(gradient[i]);
      const double new_mean = mean[i] + static_cast<double>(0.1F) * (g - mean[i]);
      const double new_square = static_cast<double>(0.999F) * square[i] + 0.001F * g * g;
      const double expected = 0.9F * old - 0.1F * new_mean / (2.0 * std::sqrt(new_square) + 1e-8F);
      EXPECT_NEAR(m[i], new_mean, 3e-7 * (std::abs(g) + std::abs(mean[i]))) << kernels->name;
      EXPECT_NEAR(v[i], new_square, 3e-7 * new_square) << kernels->name;
      EXPECT_NEAR(p[i], expected, 1e-6 * (1.0 + std::abs(0.9 * old - expected))) << kernels->name;
    }
    // The bits of an entry don't depend on where it is.
    auto part = parameter, part_mean = mean, part_square = square;
    step.parameter = part.data();
    step.mean = part_mean.data();
    step.mean_square = part_square.data();
    for (step.count = 1; step.parameter < part.data() + kCount;) {
      kernels->adam_step(step);
      step.parameter += step.count;
      step.gradient += step.count;
      step.mean += step.count;
      step.mean_square += step.count;
      step.count = std::min<int64_t>(step.count + 4, part.data() + kCount - step.parameter);
    }
    EXPECT_EQ(part, p) << kernels->name;
    EXPECT_EQ(part_mean, m) << kernels->name;
    EXPECT_EQ(part_square, v) << kernels->name;
  }
}

TEST(Kernels, a_gradient_beyond_the_range_of_its_square_leaves_the_parameter) {
  for (const auto* kernels : available()) {
    std::vector<float> p{1.0F, 1.0F}, m(2), v(2);
    const std::vector<float> gradient{1e30F, std::numeric_limits<float>::quiet_NaN()};
    kernels->adam_step({.parameter = p.data(),
                        .gradient = gradient.data(),
                        .mean = m.data(),
                        .mean_square = v.data(),
                        .count = 2});
    EXPECT_EQ(p[0], 1.0F) << kernels->name;
    EXPECT_TRUE(std::isnan(p[1])) << kernels->name;
  }
}

TEST(Kernels, the_portable_ones_are_always_there) {
  EXPECT_EQ(std::string(available().back()->name), "portable");
  EXPECT_EQ(&best(), available().front());
}

}  // namespace levin::kernels::kernels_test
