#pragma once

// A pass over random numbers for the tests of the kernels.
#include <gtest/gtest.h>
#include <levin/framework/kernels/cpu/kernels.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <random>
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

  void expect_near(double loss) {
    if (!expected_) compute_expected();
    EXPECT_NEAR(loss, expected_->loss, 1e-6 * static_cast<double>(c_.count));
    ASSERT_LE(largest_gap(weight_gradient, expected_->gradient), 1e-6);
    ASSERT_LE(largest_gap(bias_gradient, expected_->of_bias), 1e-6);
  }

  void expect_output(const std::vector<float>& out, int64_t stride) {
    if (outputs_.empty()) {
      for (int64_t r = 0; r < c_.count; ++r) {
        for (int64_t k = 0; k < c_.classes; ++k) outputs_.push_back(output(r, k));
      }
    }
    for (int64_t r = 0; r < c_.count; ++r) {
      for (int64_t k = 0; k < stride; ++k) {
        const float found = out[static_cast<size_t>(r * stride + k)];
        if (k < c_.classes) {
          ASSERT_NEAR(found, outputs_[static_cast<size_t>(r * c_.classes + k)], 1e-5);
        } else {
          ASSERT_EQ(found, 7.0F) << "is not to be written";
        }
      }
    }
  }

  // A gradient of the outputs, in a matrix that is `stride` wide, and the check of what follows
  // from it for the weights and the bias.
  std::vector<float> output_gradient(int64_t stride) const {
    std::mt19937 random(8);
    std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
    std::vector<float> gradient(static_cast<size_t>(c_.count * stride));
    for (float& value : gradient) value = uniform(random);
    return gradient;
  }
  void expect_gradient_of(const std::vector<float>& g, int64_t stride) {
    if (!of_outputs_) {
      of_outputs_.emplace(sizes());
      for (int64_t r = 0; r < c_.count; ++r) {
        for (int64_t k = 0; k < c_.classes; ++k) {
          add(g[static_cast<size_t>(r * stride + k)], r, static_cast<size_t>(k), *of_outputs_);
        }
      }
    }
    ASSERT_LE(largest_gap(weight_gradient, of_outputs_->gradient), 1e-4);
    ASSERT_LE(largest_gap(bias_gradient, of_outputs_->of_bias), 1e-4);
  }

  std::vector<float> weight, bias, floats, weight_gradient, bias_gradient, scratch;
  std::vector<uint8_t> bytes;
  std::vector<int64_t> rows, labels;

 private:
  static constexpr int64_t kStored = 140;
  static constexpr float kScale = 1.0F / 255.0F;
  static constexpr float kZeroPoint = 64.0F;

  struct Expected {
    double loss = 0.0;
    std::vector<double> gradient, of_bias;
  };

  Expected sizes() const {
    return {0.0, std::vector<double>(weight.size()), std::vector<double>(bias.size())};
  }

  // Adds a row's part of the gradients of class k, whose output has gradient g.
  void add(double g, int64_t r, size_t k, Expected& sums) const {
    sums.of_bias[k] += g;
    double* of_class = sums.gradient.data() + k * static_cast<size_t>(c_.features);
    const int64_t row = rows[static_cast<size_t>(r)];
    for (int64_t i = 0; i < c_.features; ++i) of_class[i] += g * value(row, i);
  }

  void compute_expected() {
    expected_.emplace(sizes());
    for (int64_t r = 0; r < c_.count; ++r) {
      const auto p = probabilities(r);
      const auto label = static_cast<size_t>(labels[static_cast<size_t>(r)]);
      expected_->loss -= std::log(p[label]);
      for (size_t k = 0; k < p.size(); ++k) {
        add((p[k] - (k == label ? 1.0 : 0.0)) / static_cast<double>(c_.count), r, k, *expected_);
      }
    }
  }

  static double largest_gap(const std::vector<float>& found, const std::vector<double>& expected) {
    double largest = 0.0;
    for (size_t i = 0; i < expected.size(); ++i) {
      const double gap = std::abs(found[i] - expected[i]);
      if (std::isnan(gap)) return gap;
      largest = std::max(largest, gap);
    }
    return largest;
  }

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
  // What the formula gives, computed once for all kernels.
  std::optional<Expected> expected_, of_outputs_;
  std::vector<double> outputs_;
};

}  // namespace levin::kernels::kernels_test
