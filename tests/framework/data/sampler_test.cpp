#include <gtest/gtest.h>
#include <levin/framework/core/error.h>
#include <levin/framework/data/sampler.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <vector>

#include "framework/epoch_of.h"
#include "framework/message_of.h"

namespace levin::sampler_test {

using test::epoch_of;
using test::message_of;

TEST(Sampler, sequential_visits_rows_in_order_in_every_epoch) {
  SequentialSampler sampler(7);
  EXPECT_EQ(epoch_of(sampler, 0), (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(epoch_of(sampler, 3), epoch_of(sampler, 0));
}

// row 12: the order is a function of (seed, epoch)
TEST(Sampler, random_order_is_a_permutation_that_seed_and_epoch_alone_decide) {
  RandomSampler one(1000, 42);
  RandomSampler two(1000, 42);
  RandomSampler other(1000, 43);
  const auto first = epoch_of(one, 0);
  const auto fifth = epoch_of(one, 5);
  EXPECT_EQ(epoch_of(two, 5), fifth);  // without having been through the epochs before
  EXPECT_EQ(epoch_of(two, 0), first);
  EXPECT_NE(first, fifth);
  EXPECT_NE(epoch_of(other, 0), first);
  auto sorted = first;
  std::sort(sorted.begin(), sorted.end());
  std::vector<int64_t> all(1000);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(sorted, all);
}

TEST(Sampler, any_stretch_of_an_epoch_equals_that_part_of_the_whole) {
  RandomSampler random(100, 1);
  WeightedSampler weighted({0.2, 0.3, 0.5}, 100, 1);
  for (Sampler* sampler : {static_cast<Sampler*>(&random), static_cast<Sampler*>(&weighted)}) {
    const auto whole = epoch_of(*sampler, 2);
    const auto copy = sampler->clone();
    for (const int64_t first : {0, 1, 37, 99}) {
      std::vector<int64_t> part(static_cast<size_t>(std::min<int64_t>(100 - first, 13)));
      copy->rows(first, part);
      EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + first)) << first;
    }
  }
}

TEST(Sampler, every_permutation_is_equally_likely) {
  std::vector<int> counts(256);
  RandomSampler sampler(4, 9);
  for (int64_t epoch = 0; epoch < 24000; ++epoch) {
    const auto order = epoch_of(sampler, epoch);
    ++counts[static_cast<size_t>(order[0] * 64 + order[1] * 16 + order[2] * 4 + order[3])];
  }
  EXPECT_EQ(std::count_if(counts.begin(), counts.end(), [](int n) { return n > 0; }), 24);
  for (const int count : counts) {
    if (count > 0) {
      EXPECT_NEAR(count, 1000, 6 * std::sqrt(1000.0));
    }
  }
}

TEST(Sampler, weighted_draws_rows_in_proportion_and_never_those_without_weight) {
  WeightedSampler sampler({0, 1, 0, 3, 0}, 40000, 5);
  const auto rows = epoch_of(sampler, 0);
  const auto ones = std::count(rows.begin(), rows.end(), 1);
  const auto threes = std::count(rows.begin(), rows.end(), 3);
  EXPECT_EQ(ones + threes, 40000);
  EXPECT_NEAR(static_cast<double>(ones), 10000, 6 * std::sqrt(7500.0));
  EXPECT_NE(epoch_of(sampler, 1), rows);
}

TEST(Sampler, weights_that_cannot_be_are_refused) {
  EXPECT_EQ(message_of<DataError>([] {
              WeightedSampler sampler({0, 0}, 3, 1);
            }),
            "WeightedSampler: the sum of the weights of 2 rows is 0; at least one weight must be "
            "above 0, and the sum must be finite");
  EXPECT_THROW(WeightedSampler({}, 3, 1), DataError);
  EXPECT_THROW(WeightedSampler({1, -1}, 3, 1), DataError);
  EXPECT_THROW(WeightedSampler({1, std::nan("")}, 3, 1), DataError);
  EXPECT_THROW(WeightedSampler({1, std::numeric_limits<double>::infinity()}, 3, 1), DataError);
  EXPECT_EQ(message_of<DataError>([] {
              WeightedSampler sampler({1, 2, -0.5}, 3, 1);
            }),
            "WeightedSampler, row 2: the weight is -0.5; weights must be finite and at least 0");
}

/// 60 rows of class 7, 30 of class 3 and 10 of class -1, one after another.
std::vector<int64_t> three_classes() {
  std::vector<int64_t> labels(60, 7);
  labels.insert(labels.end(), 30, 3);
  labels.insert(labels.end(), 10, -1);
  return labels;
}

TEST(Sampler, stratified_batches_of_any_size_have_the_classes_in_their_shares) {
  const auto labels = three_classes();
  StratifiedSampler sampler(labels, 1);
  for (int64_t epoch = 0; epoch < 20; ++epoch) {
    const auto order = epoch_of(sampler, epoch);
    for (const size_t size : {5U, 10U, 20U, 50U}) {
      for (size_t first = 0; first < 100; first += size) {
        for (const auto& [label, share] :
             {std::pair<int64_t, double>{7, 0.6}, {3, 0.3}, {-1, 0.1}}) {
          double count = 0;
          for (size_t i = first; i < first + size; ++i) {
            count += labels[static_cast<size_t>(order[i])] == label ? 1.0 : 0.0;
          }
          EXPECT_NEAR(count, share * static_cast<double>(size), 2.5) << label << " in " << size;
        }
      }
    }
  }
}

TEST(Sampler, stratified_order_is_a_permutation_that_seed_and_epoch_alone_decide) {
  const auto labels = three_classes();
  StratifiedSampler one(labels, 42);
  StratifiedSampler without(labels);
  without.set_default_seed(42);
  one.set_default_seed(3);  // it has a seed
  const auto fifth = epoch_of(one, 5);
  EXPECT_EQ(epoch_of(*without.clone(), 5), fifth);
  EXPECT_NE(epoch_of(one, 0), fifth);
  StratifiedSampler other(labels, 43);
  EXPECT_NE(epoch_of(other, 5), fifth);
  auto sorted = fifth;
  std::sort(sorted.begin(), sorted.end());
  std::vector<int64_t> all(100);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(sorted, all);
}

TEST(Sampler, stratified_order_gives_each_row_of_a_class_every_place) {
  const auto labels = three_classes();
  StratifiedSampler sampler(labels, 9);
  std::vector<int> tenths(10);  // where row 90, of ten of its class, is
  for (int64_t epoch = 0; epoch < 2000; ++epoch) {
    const auto order = epoch_of(sampler, epoch);
    ++tenths[static_cast<size_t>(std::find(order.begin(), order.end(), 90) - order.begin()) / 10];
  }
  for (const int count : tenths) EXPECT_NEAR(count, 200, 75) << "5 standard deviations";
}

TEST(Sampler, balancing_weights_draw_every_class_equally_often) {
  const auto labels = three_classes();
  WeightedSampler sampler(WeightedSampler::balancing(labels), 30000);
  sampler.set_default_seed(4);
  std::map<int64_t, int> counts;
  for (const int64_t row : epoch_of(sampler, 0)) ++counts[labels[static_cast<size_t>(row)]];
  for (const int64_t label : {7, 3, -1}) EXPECT_NEAR(counts[label], 10000, 410);
  WeightedSampler same(WeightedSampler::balancing(labels), 30000, 4);
  EXPECT_EQ(epoch_of(same, 0), epoch_of(sampler, 0));
}

}  // namespace levin::sampler_test
