#include <gtest/gtest.h>
#include <levin/framework/kernels/cpu/kernels.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace levin::kernels::kernels_test {

struct Case {
  int64_t classes;
  int64_t features;
  int64_t count;
  bool is_bytes;
  bool in_place;  // rows by number
};

// Random numbers of one case, the pass over them, and the same in float64 by the plain formula.
class Problem {
 public:
  explicit Problem(const Case& c) : c_(c) {
    std::mt19937 random(7);
    std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
    const auto fill = [&](std::vector<float>& values, int64_t size) {
      values.resize(static_cast<size_t>(size));
      for (float& value : values) value = uniform(random);
    };
    fill(weight, c.classes * c.features);
    for (float& value : weight) value /= std::sqrt(static_cast<float>(c.features));
    fill(bias, c.classes);
    fill(floats, kStored * c.features);
    for (size_t i = 0; i < floats.size(); ++i) {
      bytes.push_back(static_cast<uint8_t>(random() & 255));
    }
    for (int64_t i = 0; i < c.count; ++i) {
      rows.push_back(c.in_place ? static_cast<int64_t>(random() % kStored) : i);
      labels.push_back(static_cast<int64_t>(random() % static_cast<uint32_t>(c.classes)));
    }
  }

  SoftmaxRegression pass() {
    weight_gradient.assign(weight.size(), 0.0F);
    bias_gradient.assign(bias.size(), 0.0F);
    scratch.resize(static_cast<size_t>(scratch_size(c_.classes, c_.features)));
    SoftmaxRegression pass;
    pass.rows.data = c_.is_bytes ? static_cast<const void*>(bytes.data()) : floats.data();
    pass.rows.type = c_.is_bytes ? RowView::Type::scaled_bytes : RowView::Type::float32;
    pass.rows.scale = kScale;
    pass.rows.zero_point = kZeroPoint;
    pass.rows.numbers = c_.in_place ? rows.data() : nullptr;
    pass.rows.count = c_.count;
    pass.rows.row_size = c_.features;
    pass.labels = labels.data();
    pass.weight = weight.data();
    pass.bias = bias.data();
    pass.classes = c_.classes;
    pass.multiplier = 1.0F / static_cast<float>(c_.count);
    pass.weight_gradient = weight_gradient.data();
    pass.bias_gradient = bias_gradient.data();
    pass.scratch = scratch.data();
    return pass;
  }

  double value(int64_t row, int64_t i) const {
    const auto place = static_cast<size_t>(row * c_.features + i);
    return c_.is_bytes ? (static_cast<double>(bytes[place]) - kZeroPoint) * kScale : floats[place];
  }

  void expect_near(double loss) const {
    std::vector<double> gradient(weight.size());
    std::vector<double> of_bias(bias.size());
    double expected = 0.0;
    for (int64_t r = 0; r < c_.count; ++r) {
      const auto p = probabilities(r);
      const auto label = static_cast<size_t>(labels[static_cast<size_t>(r)]);
      expected -= std::log(p[label]);
      for (size_t k = 0; k < p.size(); ++k) {
        const double g = (p[k] - (k == label ? 1.0 : 0.0)) / static_cast<double>(c_.count);
        of_bias[k] += g;
        for (int64_t i = 0; i < c_.features; ++i) {
          gradient[k * static_cast<size_t>(c_.features) + static_cast<size_t>(i)] +=
              g * value(rows[static_cast<size_t>(r)], i);
        }
      }
    }
    EXPECT_NEAR(loss, expected, 1e-6 * static_cast<double>(c_.count));
    for (size_t i = 0; i < gradient.size(); ++i) ASSERT_NEAR(weight_gradient[i], gradient[i], 1e-6);
    for (size_t i = 0; i < of_bias.size(); ++i) ASSERT_NEAR(bias_gradient[i], of_bias[i], 1e-6);
  }

  void expect_output(const std::vector<float>& out, int64_t stride) const {
    for (int64_t r = 0; r < c_.count; ++r) {
      for (int64_t k = 0; k < stride; ++k) {
        const float found = out[static_cast<size_t>(r * stride + k)];
        if (k < c_.classes) {
          ASSERT_NEAR(found, output(r, k), 1e-5);
        } else {
          ASSERT_EQ(found, 7.0F) << "is not to be written";
        }
      }
    }
  }

  void expect_gradient_of(const std::vector<float>& g, int64_t stride) const {
    for (int64_t k = 0; k < c_.classes; ++k) {
      std::vector<double> expected(static_cast<size_t>(c_.features));
      double sum = 0.0;
      for (int64_t r = 0; r < c_.count; ++r) {
        const double factor = g[static_cast<size_t>(r * stride + k)];
        sum += factor;
        for (int64_t i = 0; i < c_.features; ++i) {
          expected[static_cast<size_t>(i)] += factor * value(rows[static_cast<size_t>(r)], i);
        }
      }
      ASSERT_NEAR(bias_gradient[static_cast<size_t>(k)], sum, 1e-4);
      for (int64_t i = 0; i < c_.features; ++i) {
        const float found = weight_gradient[static_cast<size_t>(k * c_.features + i)];
        ASSERT_NEAR(found, expected[static_cast<size_t>(i)], 1e-4);
      }
    }
  }

  std::vector<float> weight, bias, floats, weight_gradient, bias_gradient, scratch;
  std::vector<uint8_t> bytes;
  std::vector<int64_t> rows, labels;

 private:
  static constexpr int64_t kStored = 300;
  static constexpr float kScale = 1.0F / 255.0F;
  static constexpr float kZeroPoint = 64.0F;

  double output(int64_t r, int64_t k) const {
    double sum = bias[static_cast<size_t>(k)];
    for (int64_t i = 0; i < c_.features; ++i) {
      const auto w = static_cast<size_t>(k * c_.features + i);
      sum += static_cast<double>(weight[w]) * value(rows[static_cast<size_t>(r)], i);
    }
    return sum;
  }

  std::vector<double> probabilities(int64_t r) const {
    std::vector<double> p(bias.size());
    double sum = 0.0;
    for (size_t k = 0; k < p.size(); ++k) {
      p[k] = std::exp(output(r, static_cast<int64_t>(k)));
      sum += p[k];
    }
    for (double& one : p) one /= sum;
    return p;
  }

  Case c_;
};

// Every vector unit of this machine, widths that are whole vectors and that aren't, one class group
// and several, one row, a block and several.
TEST(Kernels, loss_and_gradient_are_those_of_the_formula) {
  for (const auto* kernels : available()) {
    for (const int64_t classes : {2, 3, 5, 10, 17}) {
      for (const int64_t features : {1, 4, 13, 64, 784}) {
        for (const int64_t count : {1, 7, 130}) {
          for (const bool is_bytes : {false, true}) {
            for (const bool in_place : {false, true}) {
              SCOPED_TRACE(std::string(kernels->name) + " classes " + std::to_string(classes) +
                           " features " + std::to_string(features) + " rows " +
                           std::to_string(count) + (is_bytes ? " bytes" : "") +
                           (in_place ? " in place" : ""));
              Problem problem({classes, features, count, is_bytes, in_place});
              problem.expect_near(kernels->softmax_regression(problem.pass()));
            }
          }
        }
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
      Problem problem({3, features, 9, false, false});
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

TEST(Kernels, logits_far_apart_give_a_finite_loss_and_nan_stays_nan) {
  for (const auto* kernels : available()) {
    Problem problem({10, 16, 4, false, false});
    problem.bias[3] = 500.0F;
    const double loss = kernels->softmax_regression(problem.pass());
    EXPECT_TRUE(std::isfinite(loss)) << kernels->name;
    EXPECT_GT(loss, 400.0);
    problem.floats[5] = std::numeric_limits<float>::quiet_NaN();
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
TEST(Kernels, linear_layers_are_those_of_the_formula) {
  for (const auto* kernels : available()) {
    for (const int64_t outputs : {1, 10, 32}) {
      for (const int64_t features : {1, 13, 64, 784}) {
        for (const int64_t count : {1, 7, 130}) {
          for (const bool is_bytes : {false, true}) {
            SCOPED_TRACE(std::string(kernels->name) + " outputs " + std::to_string(outputs) +
                         " features " + std::to_string(features) + " rows " +
                         std::to_string(count) + (is_bytes ? " bytes" : ""));
            Problem problem({outputs, features, count, is_bytes, true});
            const auto pass = problem.pass();
            const int64_t stride = outputs + 3;
            std::vector<float> out(static_cast<size_t>(count * stride), 7.0F);
            std::vector<float> scratch(static_cast<size_t>(linear_scratch_size(outputs, features)));
            kernels->linear_output({.rows = pass.rows,
                                    .weight = pass.weight,
                                    .bias = pass.bias,
                                    .outputs = outputs,
                                    .out = out.data(),
                                    .stride = stride,
                                    .scratch = scratch.data()});
            problem.expect_output(out, stride);
            kernels->linear_gradient({.rows = pass.rows,
                                      .gradient = out.data(),
                                      .stride = stride,
                                      .outputs = outputs,
                                      .weight_gradient = pass.weight_gradient,
                                      .bias_gradient = pass.bias_gradient,
                                      .scratch = scratch.data()});
            problem.expect_gradient_of(out, stride);
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

TEST(Kernels, the_portable_ones_are_always_there) {
  EXPECT_EQ(std::string(available().back()->name), "portable");
  EXPECT_EQ(&best(), available().front());
}

}  // namespace levin::kernels::kernels_test
