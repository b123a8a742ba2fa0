#include <gtest/gtest.h>
#include <levin/framework/kernels/cpu/kernels.h>

#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "framework/kernels/online_problem.h"
#include "framework/kernels/sparse_problem.h"

namespace levin::kernels::online_test {

using online_problem::DenseLearner;
using online_problem::Learning;
using sparse_problem::Case;
using sparse_problem::SparseRows;

constexpr double kNone = 0.0;

std::vector<float> random_targets(int64_t count, RowLoss loss) {
  std::mt19937 random(3);
  std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
  std::vector<float> targets(static_cast<size_t>(count));
  for (float& target : targets) {
    target = uniform(random);
    if (loss == RowLoss::logistic) target = target > 0.3F ? 1.0F : 0.0F;
  }
  return targets;
}

std::vector<float> random_row_weights(int64_t count) {
  std::mt19937 random(4);
  std::vector<float> weights(static_cast<size_t>(count));
  for (float& weight : weights) weight = static_cast<float>(random() % 4) * 0.5F;
  return weights;
}

// The rows of a case, and what a plain loop over all columns learns from them in four parts.
class Lesson {
 public:
  Lesson(const OnlineSettings& settings, const Case& c, int64_t rows_a_step)
      : settings_(settings),
        c_(c),
        rows_a_step_(rows_a_step),
        cuts_{0, 2 * rows_a_step, 3 * rows_a_step, c.count / 32 * 16, c.count},
        rows_(c),
        targets_(random_targets(c.count, settings.loss)),
        row_weights_(random_row_weights(c.count)),
        dense_(settings, static_cast<size_t>(c.columns)) {
    for (size_t part = 0; part < 4; ++part) {
      for (int64_t i = cuts_[part]; i < cuts_[part + 1]; i += rows_a_step) {
        const int64_t count = std::min(rows_a_step, cuts_[part + 1] - i);
        loss_ += dense_.step(rows_, i, count, targets_, row_weights_);
      }
      weights_.push_back(dense_.weight);
      biases_.push_back(dense_.bias);
    }
  }

  // Learns the same by the kernels, and compares the weights between the parts: while columns lag
  // behind, and after all have been brought up.
  template <class Number>
  void expect_to_be_learned_by(const Kernels& kernels) const {
    const double tolerance = sizeof(Number) == 4 ? 1e-4 : 1e-11;
    Learning<Number> learning(kernels, settings_, c_.columns);
    double loss = 0.0;
    for (size_t part = 0; part < 4; ++part) {
      loss += learning.pass(rows_.view(), cuts_[part], cuts_[part + 1] - cuts_[part], targets_,
                            row_weights_, rows_a_step_);
      if (part == 2) learning.calls.finish(learning.state);
      const auto weights = learning.calls.weights(learning.state);
      for (size_t i = 0; i < weights.size(); ++i) {
        const double gap = std::abs(static_cast<double>(weights[i]) - weights_[part][i]);
        if (!(gap <= tolerance)) FAIL() << weights[i] << " of part " << part << " at " << i;
        if (part != 2 || settings_.method == OnlineMethod::ftrl) continue;
        ASSERT_EQ(learning.state.columns[i * kOnlineNumbers], weights[i]) << "its column's first";
      }
      ASSERT_NEAR(learning.state.bias, biases_[part], tolerance) << part;
    }
    ASSERT_NEAR(loss, loss_, tolerance * static_cast<double>(c_.count));
    for (size_t i = 0; i < dense_.outputs.size(); ++i) {
      const double output = learning.outputs[i];
      ASSERT_NEAR(output, dense_.outputs[i], 10 * tolerance) << i;
    }
  }

 private:
  OnlineSettings settings_;
  Case c_;
  int64_t rows_a_step_;
  std::array<int64_t, 5> cuts_;
  SparseRows rows_;
  std::vector<float> targets_, row_weights_;
  DenseLearner dense_;
  std::vector<std::vector<double>> weights_;  // after each part
  std::vector<double> biases_;
  double loss_ = 0.0;
};

std::string describe(const OnlineSettings& settings) {
  const char* methods[] = {"sgd", "adagrad", "ftrl"};
  return std::string(methods[static_cast<int>(settings.method)]) +
         (settings.loss == RowLoss::squared ? " squared" : " logistic") + " l1 " +
         std::to_string(settings.l1) + " l2 " + std::to_string(settings.l2) + " decay " +
         std::to_string(settings.rate_decay) + "^" + std::to_string(settings.rate_power);
}

std::vector<OnlineSettings> all_settings() {
  std::vector<OnlineSettings> all;
  for (const RowLoss loss : {RowLoss::logistic, RowLoss::squared}) {
    for (const double l1 : {kNone, 0.002}) {
      for (const double l2 : {kNone, 0.003, 3.0}) {
        const OnlineSettings s{.loss = loss, .learning_rate = 0.05, .l1 = l1, .l2 = l2};
        all.push_back(s);
        all.push_back(s);
        all.back().method = OnlineMethod::ftrl;
        for (const double decay : {kNone, 0.1}) {
          for (const double power : {0.5, 0.7}) {
            if (decay == kNone && power != 0.5) continue;
            all.push_back(s);
            all.back().method = OnlineMethod::sgd;
            all.back().rate_decay = decay;
            all.back().rate_power = power;
          }
        }
      }
    }
  }
  return all;
}

TEST(OnlineKernels, lazy_weights_are_those_of_updating_all_columns_in_every_step) {
  for (const auto& settings : all_settings()) {
    for (const bool has_values : {false, true}) {
      for (const bool in_place : {false, true}) {
        for (const int64_t rows_a_step : {1, 16}) {
          const Case c{120, 150, has_values, in_place};
          const Lesson lesson(settings, c, rows_a_step);
          for (const auto* kernels : available()) {
            SCOPED_TRACE(std::string(kernels->name) + ", " + describe(settings) + ", " +
                         sparse_problem::describe(c) + ", " + std::to_string(rows_a_step) +
                         " rows a step");
            lesson.expect_to_be_learned_by<float>(*kernels);
            lesson.expect_to_be_learned_by<double>(*kernels);
            if (HasFatalFailure()) return;
          }
        }
      }
    }
  }
}

// Rows without entries, so that nothing but the penalties moves a weight: by a few steps, and by so
// many that all formulas for what they leave are used.
TEST(OnlineKernels, many_missed_steps_are_made_up_for) {
  constexpr int64_t kSteps = 20'000;
  const std::vector<int64_t> offsets(kSteps + 1);
  const std::vector<float> targets(kSteps);
  const std::vector<double> start = {2.0, -1.0, 1e-3, -0.3, 0.0, 5.0};
  const std::vector<float> start_of_floats(start.begin(), start.end());
  for (const auto* kernels : available()) {
    for (const double rate_l2 : {kNone, 1e-9, 1e-6, 1e-4, 2e-3, 0.05, 0.15, 0.9, 1.0, 3.0}) {
      for (const double l1 : {kNone, 1e-5, 1e-3}) {
        const OnlineSettings settings{.method = OnlineMethod::sgd,
                                      .learning_rate = 0.1,
                                      .rate_decay = 1e-4,
                                      .l1 = l1,
                                      .l2 = rate_l2 / 0.1};
        Learning<double> doubles(*kernels, settings, 6, start.data());
        Learning<float> floats(*kernels, settings, 6, start_of_floats.data());
        auto expected = start;
        int64_t done = 0;
        for (const int64_t until : {int64_t{1}, int64_t{7}, int64_t{400}, kSteps}) {
          for (int64_t t = done; t < until; ++t) {
            const double rate = 0.1 / std::sqrt(1 + 1e-4 * static_cast<double>(t));
            for (double& w : expected) {
              const double size = std::max(0.0, 1 - rate * settings.l2) * std::abs(w) - rate * l1;
              w = std::copysign(std::max(0.0, size), w);
            }
          }
          const SparseView rows{.offsets = offsets.data(), .count = until - done, .row_size = 6};
          doubles.calls.pass(doubles.state, {.rows = rows, .targets = targets.data()});
          floats.calls.pass(floats.state, {.rows = rows, .targets = targets.data()});
          done = until;
          const auto found = doubles.calls.weights(doubles.state);
          const auto found_in_floats = floats.calls.weights(floats.state);
          for (size_t i = 0; i < expected.size(); ++i) {
            const std::string where = std::string(kernels->name) + " rate * l2 " +
                                      std::to_string(rate_l2) + " l1 " + std::to_string(l1) +
                                      " steps " + std::to_string(until);
            ASSERT_NEAR(found[i], expected[i], 1e-10) << where;
            ASSERT_NEAR(found_in_floats[i], expected[i], 2e-6) << where;
          }
        }
      }
    }
  }
}

// With Adagrad, each column has a rate of its own, which stays while the column is missing.
TEST(OnlineKernels, adagrad_makes_up_for_many_steps_at_the_rate_of_each_column) {
  constexpr int64_t kSteps = 5'000;
  std::vector<int64_t> offsets(kSteps + 1, 3);
  offsets[0] = 0;
  const std::vector<int32_t> indices = {0, 1, 2};
  const std::vector<float> values = {1.0F, 0.01F, 30.0F}, targets(kSteps, 1.0F);
  for (const auto* kernels : available()) {
    for (const double l2 : {kNone, 1e-5, 1e-2, 0.5}) {
      for (const double l1 : {kNone, 1e-5}) {
        const OnlineSettings settings{.learning_rate = 0.2, .l1 = l1, .l2 = l2};
        Learning<double> learning(*kernels, settings, 4);
        const SparseView rows{offsets.data(), indices.data(), values.data(), nullptr, kSteps, 4};
        learning.calls.pass(learning.state, {.rows = rows, .targets = targets.data()});
        const auto found = learning.calls.weights(learning.state);
        for (size_t c = 0; c < 3; ++c) {
          const double g = -0.5 * static_cast<double>(values[c]);
          const double rate = 0.2 / (std::abs(g) + 1e-10);
          double w = std::abs(rate * g) - rate * l1;
          for (int64_t t = 1; t < kSteps; ++t) {
            w = std::max(0.0, std::max(0.0, 1 - rate * l2) * w - rate * l1);
          }
          ASSERT_NEAR(found[c], w, 1e-9) << kernels->name << " l1 " << l1 << " l2 " << l2;
        }
        ASSERT_EQ(found[3], 0.0);
      }
    }
  }
}

TEST(OnlineKernels, passes_over_parts_of_the_rows_give_the_bits_of_one_pass) {
  const SparseRows rows({120, 144, true, true});
  const auto targets = random_targets(144, RowLoss::logistic);
  const auto row_weights = random_row_weights(144);
  for (const auto* kernels : available()) {
    for (const auto& settings : all_settings()) {
      for (const int64_t rows_a_step : {1, 16}) {
        Learning<float> whole(*kernels, settings, 120), parts(*kernels, settings, 120);
        whole.pass(rows.view(), 0, 144, targets, row_weights, rows_a_step);
        for (const int64_t first : {0, 16, 64}) {
          const int64_t count = first == 0 ? 16 : first == 16 ? 48 : 80;
          parts.pass(rows.view(), first, count, targets, row_weights, rows_a_step);
          (void)parts.calls.weights(parts.state);  // reading changes nothing
        }
        ASSERT_EQ(parts.calls.weights(parts.state), whole.calls.weights(whole.state));
        ASSERT_EQ(parts.outputs, whole.outputs) << kernels->name << " " << describe(settings);
      }
    }
  }
}

// In a batch whose gradient of a column becomes 0 on the way and has a value in the end, and in one
// where it ends as 0.
TEST(OnlineKernels, gradients_that_cancel_in_a_batch_count_once) {
  const std::vector<int64_t> offsets = {0, 2, 4, 6, 8};
  const std::vector<int32_t> indices = {3, 40, 3, 41, 3, 42, 3, 43};
  for (const auto* kernels : available()) {
    for (const OnlineMethod method :
         {OnlineMethod::sgd, OnlineMethod::adagrad, OnlineMethod::ftrl}) {
      for (const int64_t count : {4, 2}) {
        const OnlineSettings settings{
            .loss = RowLoss::squared, .method = method, .learning_rate = 0.5, .l2 = 0.1};
        const std::vector<float> targets = {1.0F, -1.0F, 2.0F, 3.0F}, row_weights(4, 1.0F);
        SparseRows rows({50, 4, false, false});
        rows.offsets = offsets;
        rows.indices = indices;
        DenseLearner dense(settings, 50);
        Learning<double> learning(*kernels, settings, 50);
        for (int step = 0; step < 3; ++step) {
          dense.step(rows, 0, count, targets, row_weights);
          learning.pass(rows.view(), 0, count, targets, row_weights, count);
        }
        const auto found = learning.calls.weights(learning.state);
        for (size_t c = 0; c < 50; ++c) ASSERT_NEAR(found[c], dense.weight[c], 1e-13) << c;
      }
    }
  }
}

// The columns of a row's first entries are read once for its product and its update, and those of
// further entries twice.
TEST(OnlineKernels, rows_of_hundreds_of_entries_are_learned_as_short_ones_are) {
  constexpr int64_t kRows = 12, kColumns = 400;
  SparseRows rows({kColumns, kRows, true, false});
  rows.offsets = {0};
  rows.indices.clear();
  rows.values.clear();
  for (int64_t i = 0; i < kRows; ++i) {
    for (int32_t c = static_cast<int32_t>(i % 3); c < kColumns; c += 2 + static_cast<int32_t>(i)) {
      rows.indices.push_back(c);
      rows.values.push_back(0.1F + 0.01F * static_cast<float>(c % 7));
    }
    rows.offsets.push_back(static_cast<int64_t>(rows.indices.size()));
  }
  const auto targets = random_targets(kRows, RowLoss::logistic);
  const std::vector<float> row_weights(kRows, 1.0F);
  for (const auto& settings : all_settings()) {
    if (settings.loss != RowLoss::logistic) continue;
    DenseLearner dense(settings, kColumns);
    for (int64_t i = 0; i < kRows; ++i) dense.step(rows, i, 1, targets, row_weights);
    for (const auto* kernels : available()) {
      Learning<double> learning(*kernels, settings, kColumns);
      learning.pass(rows.view(), 0, kRows, targets, row_weights, 1);
      const auto found = learning.calls.weights(learning.state);
      for (size_t c = 0; c < kColumns; ++c) {
        ASSERT_NEAR(found[c], dense.weight[c], 1e-11) << kernels->name << describe(settings);
      }
    }
  }
}

TEST(OnlineKernels, losses_without_row_weights_are_those_of_rows_that_weigh_1) {
  const SparseRows rows({120, 3000, true, false});
  for (const auto* kernels : available()) {
    for (const RowLoss loss : {RowLoss::logistic, RowLoss::squared}) {
      const auto targets = random_targets(3000, loss);
      const std::vector<float> ones(3000, 1.0F);
      const OnlineSettings settings{.loss = loss};
      Learning<double> weighted(*kernels, settings, 120), plain(*kernels, settings, 120);
      const double expected = weighted.pass(rows.view(), 0, 3000, targets, ones, 1);
      const double found =
          plain.calls.pass(plain.state, {.rows = rows.view(), .targets = targets.data()});
      ASSERT_GT(expected, 100.0);
      ASSERT_NEAR(found, expected, 1e-9) << kernels->name;
      ASSERT_EQ(plain.calls.weights(plain.state), weighted.calls.weights(weighted.state));
    }
  }
}

TEST(OnlineKernels, weights_and_bias_to_start_with_are_what_is_read) {
  const std::vector<double> start = {0.5, -2.0, 0.0, 1e-3};
  for (const auto* kernels : available()) {
    for (const auto& settings : all_settings()) {
      Learning<double> learning(*kernels, settings, 4, start.data(), -0.75);
      const auto found = learning.calls.weights(learning.state);
      for (size_t c = 0; c < 4; ++c) ASSERT_NEAR(found[c], start[c], 1e-15) << describe(settings);
      const std::vector<int64_t> offsets = {0, 0};
      const float target = 0.0F;
      double output = 0.0;
      learning.calls.pass(learning.state,
                          {.rows = {.offsets = offsets.data(), .count = 1, .row_size = 4},
                           .targets = &target,
                           .outputs = &output});
      ASSERT_EQ(output, -0.75);
      ASSERT_LT(learning.state.bias, -0.7 * (settings.method == OnlineMethod::ftrl ? 0.9 : 1.0));
    }
  }
}

TEST(OnlineKernels, nan_reaches_the_loss_and_the_columns_of_its_row_only) {
  const std::vector<int64_t> offsets = {0, 3, 5};
  const std::vector<int32_t> indices = {0, 2, 4, 1, 3};
  const std::vector<float> targets = {1.0F, 0.0F}, row_weights = {1.0F, 1.0F};
  std::vector<float> start(40, 0.1F);
  start[2] = std::numeric_limits<float>::quiet_NaN();
  for (const auto* kernels : available()) {
    for (auto settings : all_settings()) {
      SparseView rows{.offsets = offsets.data(), .indices = indices.data(), .count = 2};
      for (const int64_t rows_a_step : {1, 2}) {
        Learning<float> learning(*kernels, settings, 40, start.data());
        learning.state.has_bias = false;
        const double loss = learning.pass(rows, 0, 2, targets, row_weights, rows_a_step);
        EXPECT_TRUE(std::isnan(loss)) << kernels->name << " " << describe(settings);
        learning.calls.finish(learning.state);
        const auto found = learning.calls.weights(learning.state);
        for (const size_t c : {0U, 2U, 4U}) EXPECT_TRUE(std::isnan(found[c])) << c;
        for (const size_t c : {1U, 3U, 5U, 39U}) EXPECT_FALSE(std::isnan(found[c])) << c;
      }
    }
  }
}

// Each operation that yields a denormal number takes over 100 cycles on x86.
TEST(OnlineKernels, squares_too_small_for_full_precision_are_0) {
  const SparseRows rows({120, 100, true, false});
  const std::vector<float> targets(100, 0.5F), row_weights(100, 1e-20F);
  std::vector<float> start(120, 0.25F);
  for (const auto* kernels : available()) {
    const OnlineSettings settings;
    Learning<float> learning(*kernels, settings, 120, start.data());
    learning.pass(rows.view(), 0, 100, targets, row_weights, 1);
    for (size_t c = 0; c < 120; ++c) {
      const float squares = learning.state.columns[c * kOnlineNumbers + 1];
      EXPECT_NE(std::fpclassify(squares), FP_SUBNORMAL) << kernels->name;
    }
  }
}

}  // namespace levin::kernels::online_test
