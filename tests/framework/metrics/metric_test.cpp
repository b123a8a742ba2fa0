#include <levin/framework/metrics/metric.h>

#include "models/support.h"

#include <cmath>

#include <c10/core/InferenceMode.h>

#include "framework/message_of.h"

#include <levin/framework/core/error.h>
#include <levin/framework/metrics/class_metric.h>
#include <levin/framework/metrics/class_scores.h>
#include <levin/framework/metrics/metric_list.h>
#include <levin/framework/metrics/regression_metrics.h>

// Promises of every metric in the list, and of those of values. Expected values: scikit-learn,
// tests/baselines/metrics.py.

namespace levin::metric_test {

using test::baseline;
using test::message_of;
using test::says;
using test::tensor_of;

std::vector<double> numbers_of(const std::vector<MetricValue>& values) {
  std::vector<double> numbers;
  for (const auto& value : values) numbers.push_back(value.value);
  return numbers;
}

struct Rows {
  torch::Tensor predictions;
  torch::Tensor targets;
  torch::Tensor weights;

  void add_to(Metric& metric, int64_t first, int64_t count) const {
    metric.update(predictions.narrow(0, first, count), targets.narrow(0, first, count),
                  weights.narrow(0, first, count));
  }
};

/// Rows that the metric takes. Weights are quarters, whose sums are exact in any order.
Rows rows_for(const Metric& metric) {
  torch::manual_seed(2);
  const auto weights = torch::randint(1, 9, {90}).to(torch::kDouble) / 4.0;
  if (dynamic_cast<const ClassMetric*>(&metric) == nullptr) {
    return {torch::randn({90, 2}, torch::kDouble) * 1e3, torch::randn({90, 2}, torch::kDouble),
            weights};
  }
  const auto targets = torch::randint(3, {90});
  return {(torch::randn({90, 3}, torch::kDouble) + torch::one_hot(targets, 3)).softmax(1), targets,
          weights};
}

template <class Test>
void for_each_metric(const Test& test) {
  for (const auto& entry : shipped_metrics().entries()) {
    const auto make = [&entry] { return entry.make(Value()); };
    SCOPED_TRACE(entry.name);
    EXPECT_EQ(make()->name(), entry.name);
    test(make, rows_for(*make()));
  }
}

TEST(Metric, of_two_ranks_together_has_the_bits_of_one_process) {
  for_each_metric([](const auto& make, const Rows& rows) {
    const auto alone = make();
    rows.add_to(*alone, 0, 90);
    const auto first = make();
    const auto second = make();
    rows.add_to(*second, 50, 40);
    rows.add_to(*first, 20, 30);
    rows.add_to(*first, 0, 20);
    const auto before = numbers_of(first->compute());
    const auto states = std::vector{second->state_dict(), first->state_dict()};
    const auto expected = numbers_of(alone->compute());
    ASSERT_FALSE(expected.empty());
    EXPECT_EQ(numbers_of(first->compute_of(states)), expected);
    EXPECT_EQ(numbers_of(first->compute()), before);  // it stays as it is
    first->merge(second->state_dict());
    EXPECT_EQ(numbers_of(first->compute()), expected);
  });
}

TEST(Metric, goes_on_from_its_state_with_the_same_bits) {
  for_each_metric([](const auto& make, const Rows& rows) {
    const auto whole = make();
    for (const int64_t first : {0, 30, 60}) rows.add_to(*whole, first, 30);
    const auto before = make();
    rows.add_to(*before, 0, 30);
    const auto after = make();
    rows.add_to(*after, 5, 5);  // which loading a state drops
    after->load_state_dict(before->state_dict().clone());
    for (const int64_t first : {30, 60}) rows.add_to(*after, first, 30);
    EXPECT_EQ(numbers_of(after->compute()), numbers_of(whole->compute()));
    const auto a = whole->state_dict();
    const auto b = after->state_dict();
    ASSERT_EQ(a.tensors.size(), b.tensors.size());
    for (const auto& [name, tensor] : a.tensors) {
      EXPECT_TRUE(tensor.equal(b.tensor(name))) << name;
    }
  });
}

TEST(Metric, can_be_made_again_from_its_name_and_settings) {
  for_each_metric([](const auto& make, const Rows& rows) {
    const auto one = make();
    const auto again = shipped_metrics().make(one->name(), one->settings());
    rows.add_to(*one, 0, 90);
    EXPECT_EQ(again->settings(), one->settings());
    EXPECT_EQ(numbers_of(again->compute_of({one->state_dict()})), numbers_of(one->compute()));
  });
  const auto f2 = shipped_metrics().make("fbeta", Value::Object{{"beta", 2.0}});
  EXPECT_EQ(f2->settings().at("beta").as_double(), 2.0);
}

TEST(Metric, of_the_last_batch_alone_leaves_that_of_all_rows_as_it_is) {
  for_each_metric([](const auto& make, const Rows& rows) {
    const auto plain = make();
    const auto keeping = make();
    keeping->keep_batches();
    const auto last = make();
    for (const int64_t first : {0, 30, 60}) {
      rows.add_to(*plain, first, 30);
      rows.add_to(*keeping, first, 30);
      last->reset();
      rows.add_to(*last, first, 30);
      EXPECT_EQ(numbers_of(keeping->compute_batch()), numbers_of(last->compute()));
      EXPECT_EQ(numbers_of(keeping->compute()), numbers_of(plain->compute()));
    }
    keeping->reset();
    EXPECT_TRUE(keeping->compute_batch().empty());
  });
}

TEST(Metric, forgets_all_rows_but_keeps_the_memory_of_sums) {
  for_each_metric([](const auto& make, const Rows& rows) {
    const auto metric = make();
    rows.add_to(*metric, 0, 90);
    const auto before = metric->state_dict();
    metric->reset();
    EXPECT_TRUE(metric->compute().empty());
    rows.add_to(*metric, 0, 30);
    for (const auto& [name, tensor] : metric->state_dict().tensors) {
      const bool is_same = tensor.const_data_ptr() == before.tensor(name).const_data_ptr();
      EXPECT_EQ(is_same, metric->is_capturable()) << name;
    }
  });
}

TEST(Metric, of_rows_in_inference_mode_takes_more_rows_outside_of_it) {
  for_each_metric([](const auto& make, const Rows& rows) {
    const auto metric = make();
    rows.add_to(*metric, 0, 90);
    const auto expected = numbers_of(metric->compute());
    metric->reset();
    {
      const c10::InferenceMode inference;
      rows.add_to(*metric, 0, 40);
    }
    rows.add_to(*metric, 40, 50);
    EXPECT_EQ(numbers_of(metric->compute()), expected);
    metric->reset();
    EXPECT_TRUE(metric->compute().empty());
  });
}

TEST(Metric, of_values_is_that_of_scikit_learn_for_any_batches_and_weights) {
  for (const auto& expected : baseline("metrics").at("values").as_array()) {
    const auto guess = tensor_of(expected.at("predictions"));
    const auto y = tensor_of(expected.at("targets"));
    for (const char* kind : {"plain", "weighted"}) {
      const bool is_weighted = std::string(kind) == "weighted";
      for (const auto& [name, wanted] : expected.at(kind).as_object()) {
        double once = 0.0;
        for (const int64_t size : {1000, 7, 1}) {
          const auto metric = shipped_metrics().make(name, Value());
          const auto weights = is_weighted ? tensor_of(expected.at("weights")).split(size)
                                           : std::vector<torch::Tensor>(20);
          const auto guesses = guess.split(size);
          const auto targets = y.split(size);
          for (size_t i = 0; i < targets.size(); ++i) {
            metric->update(guesses[i], targets[i], weights[i]);
          }
          if (size == 1000) once = metric->value();
          EXPECT_NEAR(metric->value(), wanted.as_double(), 1e-12) << name;
          EXPECT_EQ(metric->value(), once) << name << ", batches of " << size;
        }
      }
    }
  }
}

// One row, rows of weight 0, and targets or predictions that are all the same.
TEST(Metric, of_values_in_edge_cases_is_that_of_scikit_learn) {
  for (const auto& expected : baseline("metrics").at("value_edges").as_array()) {
    SCOPED_TRACE(expected.at("predictions").to_json());
    const auto guesses = tensor_of(expected.at("predictions"));
    const auto targets = tensor_of(expected.at("targets"));
    for (const char* kind : {"plain", "weighted"}) {
      const bool is_weighted = std::string(kind) == "weighted";
      const auto weights = is_weighted ? tensor_of(expected.at("weights")) : torch::Tensor();
      for (const auto& [name, wanted] : expected.at(kind).as_object()) {
        const auto metric = shipped_metrics().make(name, Value());
        for (int64_t i = 0; i < targets.size(0); ++i) {
          metric->update(guesses.narrow(0, i, 1), targets.narrow(0, i, 1),
                         is_weighted ? weights.narrow(0, i, 1) : weights);
        }
        if (wanted.is_null()) {
          EXPECT_TRUE(std::isnan(metric->value())) << kind << " " << name;
        } else {
          EXPECT_NEAR(metric->value(), wanted.as_double(), 1e-12) << kind << " " << name;
        }
      }
    }
  }
}

TEST(R2Score, says_that_one_row_alone_has_none) {
  R2Score score;
  score.update(torch::ones({1}), torch::ones({1}));
  const auto values = score.compute();
  ASSERT_EQ(values.size(), 1U);
  EXPECT_EQ(values[0].missing, "one row alone has no R^2");
  score.update(torch::ones({1}), torch::ones({1}));
  EXPECT_EQ(score.value(), 1.0);
  score.reset();
  score.update(torch::ones({1}), torch::ones({1}));
  EXPECT_TRUE(std::isnan(score.value()));
}

TEST(R2Score, keeps_its_digits_however_large_the_mean_is) {
  const auto& expected = baseline("metrics").at("values").as_array()[1];
  const double shift = 0x1p24;  // which the numbers, with four decimals, lose bits by
  const auto y = tensor_of(expected.at("targets")) + shift;
  const auto guess = tensor_of(expected.at("predictions")) + shift;
  const auto weights = tensor_of(expected.at("weights"));
  R2Score shifted;
  shifted.update(guess, y, weights);
  R2Score moved_back;
  moved_back.update(guess - shift, y - shift, weights);
  EXPECT_NEAR(shifted.value(), moved_back.value(), 1e-14);
  R2Score plain;
  plain.update(guess, y);
  R2Score plain_back;
  plain_back.update(guess - shift, y - shift);
  EXPECT_NEAR(plain.value(), plain_back.value(), 1e-14);
}

TEST(R2Score, of_values_that_are_all_the_same_is_one_or_zero) {
  for (const double value : {3.0, 0.1, 1e9 / 3.0, 0.0}) {
    R2Score score;
    const auto y = torch::full({7, 1}, value, torch::kDouble);
    score.update(y, y);
    EXPECT_EQ(score.value(), 1.0) << value;
    score.update(y + 1.0, y);
    EXPECT_EQ(score.value(), 0.0) << value;
  }
}

TEST(Metric, of_values_refuses_other_shapes) {
  MeanSquaredError error;
  EXPECT_TRUE(says(message_of<DataError>([&] {
                     error.update(torch::ones({2, 3}), torch::ones({2}));
                   }),
                   {"mse", "[2, 3]", "[2]", "the same shape"}));
}

// On a GPU: the same bits as on the CPU, and no wait while rows are added.
TEST(MetricCuda, has_the_bits_of_the_cpu) {
  if (!torch::cuda::is_available()) GTEST_SKIP() << "needs a GPU";
  for_each_metric([](const auto& make, const Rows& rows) {
    const auto here = make();
    const auto there = make();
    const Rows moved{rows.predictions.cuda(), rows.targets.cuda(), rows.weights.cuda()};
    for (const int64_t first : {0, 30, 60}) {
      rows.add_to(*here, first, 30);
      moved.add_to(*there, first, 30);
    }
    EXPECT_EQ(numbers_of(there->compute()), numbers_of(here->compute()));
    const auto again = make();
    again->load_state_dict(here->state_dict());  // on the CPU, and goes on with the GPU
    moved.add_to(*again, 0, 30);
    here->merge(here->state_dict());
    EXPECT_EQ(again->compute().size(), here->compute().size());
  });
}

}  // namespace levin::metric_test
