#include <levin/serving/load/latency_histogram.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace levin::latency_histogram_test {

TEST(LatencyHistogram, percentiles_are_those_of_the_sorted_values_within_half_a_percent) {
  std::mt19937_64 random(7);
  std::lognormal_distribution<double> draw(13.0, 2.0);  // about 0.4 ms, with a long tail
  LatencyHistogram histogram;
  std::vector<int64_t> values;
  for (int i = 0; i < 20000; ++i) {
    values.push_back(static_cast<int64_t>(draw(random)));
    histogram.add(values.back());
  }
  std::sort(values.begin(), values.end());
  double sum = 0.0;
  for (const int64_t each : values) sum += static_cast<double>(each);
  EXPECT_EQ(histogram.count(), 20000);
  EXPECT_DOUBLE_EQ(histogram.longest(), static_cast<double>(values.back()) * 1e-9);
  EXPECT_NEAR(histogram.mean(), sum * 1e-9 / 20000.0, 1e-12);
  for (const double percent : {0.01, 1.0, 50.0, 90.0, 99.0, 99.9, 99.99}) {
    const auto rank = static_cast<size_t>(std::ceil(percent / 100.0 * 20000.0));
    const double expected = static_cast<double>(values[rank - 1]) * 1e-9;
    EXPECT_NEAR(histogram.percentile(percent), expected, 0.004 * expected) << percent;
  }
  EXPECT_EQ(histogram.percentile(100.0), histogram.longest());
  const double limit = histogram.percentile(90.0);
  EXPECT_NEAR(static_cast<double>(histogram.count_above(limit)), 2000.0, 100.0);
}

TEST(LatencyHistogram, every_value_falls_into_a_bucket_near_it) {
  for (int64_t value = 1; value < int64_t{3600} * 1'000'000'000; value += value / 5 + 1) {
    for (const int64_t near : {value - 1, value, value + 1}) {
      LatencyHistogram histogram;
      histogram.add(near);
      histogram.add(int64_t{3600} * 1'000'000'000);
      const double expected = static_cast<double>(near) * 1e-9;
      ASSERT_NEAR(histogram.percentile(50.0), expected, 0.004 * expected + 1e-12) << near;
    }
  }
}

TEST(LatencyHistogram, what_is_out_of_range_counts_at_its_ends) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.percentile(99.0), 0.0);
  EXPECT_EQ(histogram.mean(), 0.0);
  histogram.add(-5);
  EXPECT_EQ(histogram.longest(), 0.0);
  histogram.add(INT64_MAX);
  EXPECT_EQ(histogram.count(), 2);
  EXPECT_DOUBLE_EQ(histogram.longest(), 3600.0);
}

TEST(LatencyHistogram, a_sum_of_histograms_is_that_of_all_values) {
  LatencyHistogram all;
  LatencyHistogram sum;
  for (int part = 0; part < 3; ++part) {
    LatencyHistogram one;
    for (int64_t i = 1; i <= 100; ++i) {
      one.add(i * 1000 * (part + 1));
      all.add(i * 1000 * (part + 1));
    }
    sum.add(one);
  }
  EXPECT_EQ(sum.count(), 300);
  EXPECT_EQ(sum.longest(), all.longest());
  EXPECT_NEAR(sum.mean(), all.mean(), 1e-15);
  for (const double percent : {10.0, 50.0, 99.0}) {
    EXPECT_EQ(sum.percentile(percent), all.percentile(percent)) << percent;
  }
}

}  // namespace levin::latency_histogram_test
