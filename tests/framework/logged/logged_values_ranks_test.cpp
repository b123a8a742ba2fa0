#include <levin/framework/logged/logged_values.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include <levin/framework/core/error.h>

#include "framework/logged/logged_epochs.h"

// The state of logged values in checkpoints, and what several ranks log together.

namespace levin::logged_values_test {

/// One batch's worth of logging for the tests below.
void log_batch(LoggedValues& metrics, int64_t batch, bool window_starts) {
  if (window_starts) metrics.begin_window();
  const int64_t rows = kSizes[batch];
  metrics.begin_batch(rows, batch % 2, 2);
  const auto values = rows_of(batch, rows);
  metrics.log("loss", values.mean(), {.on_step = true, .on_epoch = true, .prog_bar = true}, true,
              false);
  metrics.log("low", values.min(), {.reduce = Reduce::min, .logger = false}, false, true);
  metrics.log("high", values.max(), {.reduce = Reduce::max}, true, true);
  metrics.log("sum", values.sum().item<double>(),
              {.reduce = Reduce::sum, .add_dataloader_idx = false}, false, true);
}

TEST(MetricsState, a_map_of_metrics_survives_the_way_through_a_checkpoint) {
  const MetricMap metrics{{"a", 0.1}, {"b/c", -3.0}};
  EXPECT_EQ(to_metrics(Value::from_json(to_value(metrics).to_json())), metrics);
}

TEST(MetricsState, going_on_from_any_batch_gives_the_same_bits) {
  LoggedValues whole;
  whole.begin_epoch();
  for (int64_t i = 0; i < std::ssize(kSizes); ++i) log_batch(whole, i, i % 2 == 0);
  for (int64_t stop = 0; stop < std::ssize(kSizes); ++stop) {
    LoggedValues before;
    before.begin_epoch();
    for (int64_t i = 0; i < stop; ++i) log_batch(before, i, i % 2 == 0);
    StateDict saved;
    saved.values = Value::from_json(before.state_dict().values.to_json());
    LoggedValues after;
    after.load_state_dict(saved);
    EXPECT_TRUE(same_bits(after.step_values(For::callbacks), before.step_values(For::callbacks)));
    for (int64_t i = stop; i < std::ssize(kSizes); ++i) log_batch(after, i, i % 2 == 0);
    for (const auto whom : {For::callbacks, For::logger, For::progress_bar}) {
      EXPECT_TRUE(same_bits(after.epoch_values(whom), whole.epoch_values(whom))) << stop;
      EXPECT_TRUE(same_bits(after.step_values(whom), whole.step_values(whom))) << stop;
    }
  }
}

TEST(MetricsState, an_empty_one_clears) {
  LoggedValues metrics = epoch({}, [](const auto& rows) { return rows.mean(); });
  metrics.load_state_dict({});
  EXPECT_TRUE(metrics.epoch_values(For::callbacks).empty());
}

/// What one collective does over ranks.
PackedMetrics reduced(const std::vector<PackedMetrics>& ranks) {
  PackedMetrics all = ranks[0];
  for (const auto& rank : ranks) {
    EXPECT_EQ(rank.sums.size(), all.sums.size());
    EXPECT_EQ(rank.minima.size(), all.minima.size());
    EXPECT_EQ(rank.maxima.size(), all.maxima.size());
    if (&rank == &ranks[0]) continue;
    for (size_t i = 0; i < all.sums.size(); ++i) all.sums[i] += rank.sums[i];
    for (size_t i = 0; i < all.minima.size(); ++i)
      all.minima[i] = std::min(all.minima[i], rank.minima[i]);
    for (size_t i = 0; i < all.maxima.size(); ++i)
      all.maxima[i] = std::max(all.maxima[i], rank.maxima[i]);
  }
  return all;
}

/// What Strategy::reduce does, for ranks that are in one process; returns the collectives it took.
int reduce(const std::vector<LoggedValues*>& ranks) {
  for (int collectives = 1;; collectives += 2) {
    std::vector<PackedMetrics> packed;
    for (auto* rank : ranks) packed.push_back(rank->pack());
    const auto all = reduced(packed);
    bool done = true;
    for (auto* rank : ranks) done = rank->unpack(all) && done;
    if (done) return collectives;
    std::vector<std::string> names;
    for (auto* rank : ranks) names.push_back(rank->names());
    for (auto* rank : ranks) rank->agree(names);
  }
}

void log_rows(LoggedValues& metrics, const torch::Tensor& rows) {
  step(metrics, rows.size(0));
  metrics.log("mean", rows.mean(), {}, false, true);
  metrics.log("step", 1.0, {}, true, false);
  const bool empty = rows.size(0) == 0;
  metrics.log("min", empty ? kNan : rows.min().item<double>(), {.reduce = Reduce::min}, false,
              true);
  metrics.log("max", empty ? kNan : rows.max().item<double>(), {.reduce = Reduce::max}, false,
              true);
  metrics.log("sum", rows.sum(), {.reduce = Reduce::sum}, false, true);
}

TEST(MetricsPacked, two_ranks_reduced_are_one_that_saw_all_rows) {
  const auto rows = all_rows();
  for (const int64_t share : {rows.size(0) / 2, int64_t{1}, rows.size(0)}) {  // then one has none
    LoggedValues one;
    LoggedValues first;
    LoggedValues second;
    for (auto* metrics : {&one, &first, &second}) metrics->begin_epoch();
    log_rows(one, rows);
    log_rows(first, rows.slice(0, 0, share));
    log_rows(second, rows.slice(0, share));
    reduce({&first, &second});
    const auto expected = one.epoch_values(For::callbacks);
    EXPECT_EQ(expected.size(), 4U);
    for (auto* metrics : {&first, &second}) {
      const auto actual = metrics->epoch_values(For::callbacks);
      ASSERT_EQ(actual.size(), expected.size()) << share;
      for (const auto& [name, value] : expected) EXPECT_NEAR(actual.at(name), value, 1e-12) << name;
    }
  }
}

TEST(MetricsPacked, of_one_rank_changes_nothing) {
  LoggedValues metrics;
  for (int64_t i = 0; i < std::ssize(kSizes); ++i) log_batch(metrics, i, true);
  const auto before = metrics.epoch_values(For::callbacks);
  reduce({&metrics});
  EXPECT_TRUE(same_bits(metrics.epoch_values(For::callbacks), before));
}

TEST(MetricsPacked, ranks_agree_on_names_once_and_then_need_one_collective) {
  LoggedValues first;
  LoggedValues second;
  const auto log = [](LoggedValues& metrics, const std::vector<const char*>& names) {
    metrics.begin_epoch();
    step(metrics, 2);
    for (const char* name : names) metrics.log(name, 3.0, {.reduce = Reduce::sum}, false, true);
  };
  log(first, {"a", "b"});
  log(second, {"c", "b"});  // another order, and a name of its own
  EXPECT_EQ(reduce({&first, &second}), 3);
  const MetricMap expected = {{"a", 3.0}, {"b", 6.0}, {"c", 3.0}};
  EXPECT_EQ(first.epoch_values(For::callbacks), expected);
  EXPECT_EQ(second.epoch_values(For::callbacks), expected);
  log(first, {"b", "a"});
  log(second, {"b", "c"});
  EXPECT_EQ(reduce({&first, &second}), 1);
  EXPECT_EQ(second.epoch_values(For::callbacks), expected);
  log(first, {});  // a rank without rows
  log(second, {"b", "d"});
  EXPECT_EQ(reduce({&first, &second}), 3);
  EXPECT_EQ(first.epoch_values(For::callbacks), (MetricMap{{"b", 3.0}, {"d", 3.0}}));
}

TEST(MetricsPacked, a_name_logged_in_two_ways_is_an_error_on_every_rank) {
  LoggedValues first;
  LoggedValues second;
  step(first, 1);
  step(second, 1);
  first.log("x", 1.0, {.reduce = Reduce::min}, false, true);
  second.log("x", 1.0, {}, false, true);
  const std::vector<std::string> names = {first.names(), second.names()};
  EXPECT_THROW(
      {
        first.agree(names);
        second.agree(names);
      },
      ModuleError);
}

TEST(MetricsPacked, a_value_may_be_logged_in_another_way_after_a_resume_though_a_rank_has_no_rows) {
  LoggedValues before;
  step(before, 1);
  before.log("x", 5.0, {.reduce = Reduce::min}, false, true);
  LoggedValues first;
  LoggedValues second;
  for (auto* rank : {&first, &second}) rank->load_state_dict(before.state_dict());
  step(second, 1);
  second.log("x", 7.0, {.reduce = Reduce::sum}, false, true);  // the first has no rows left
  reduce({&first, &second});
  for (auto* rank : {&first, &second}) {
    EXPECT_EQ(rank->epoch_values(For::callbacks), (MetricMap{{"x", 7.0}}));
  }
}

// Run::log: each rank logs the mean over its own rows.
TEST(MetricsPacked, means_of_whole_ranks_are_weighted_by_their_rows) {
  const auto rows = all_rows();
  const double expected = rows.mean().item<double>();
  for (const int64_t share : {int64_t{10}, rows.size(0)}) {  // then the second rank has none
    LoggedValues first;
    LoggedValues second;
    const auto log = [](LoggedValues& metrics, const torch::Tensor& own) {
      metrics.begin_epoch();
      if (own.size(0) > 0) step(metrics, own.size(0));
      metrics.log_epoch("mean", own.mean().item<double>(), {});
      metrics.log_epoch("tensor", own.mean(), {});
    };
    log(first, rows.slice(0, 0, share));
    log(second, rows.slice(0, share));
    reduce({&first, &second});
    for (auto* metrics : {&first, &second}) {
      EXPECT_NEAR(metrics->epoch_values(For::callbacks).at("mean"), expected, 1e-12) << share;
      EXPECT_NEAR(metrics->epoch_values(For::callbacks).at("tensor"), expected, 1e-12) << share;
    }
  }
}

TEST(MetricsPacked, a_value_that_is_the_same_on_all_ranks_keeps_its_bits) {
  for (const double value : {0.1, 1.0 / 3.0, 1e-300}) {
    LoggedValues first;
    LoggedValues second;
    int64_t rows = 3;
    for (auto* metrics : {&first, &second}) {
      step(*metrics, rows);
      rows += 4;
      metrics->log_epoch("same", value, {});
    }
    reduce({&first, &second});
    EXPECT_EQ(first.epoch_values(For::callbacks).at("same"), value);
    EXPECT_EQ(second.epoch_values(For::callbacks).at("same"), value);
  }
}

TEST(MetricsPacked, batch_size_is_the_weight_of_a_ranks_own_value) {
  LoggedValues first;
  LoggedValues second;
  for (auto* metrics : {&first, &second}) step(*metrics, 5);
  first.log_epoch("own", 1.0, {.batch_size = 1});
  second.log_epoch("own", 4.0, {.batch_size = 2});
  reduce({&first, &second});
  EXPECT_DOUBLE_EQ(first.epoch_values(For::callbacks).at("own"), 3.0);
}

TEST(MetricsState, merged_ranks_are_one_that_saw_all_rows) {
  const auto rows = all_rows();
  LoggedValues one;
  LoggedValues first;
  LoggedValues second;
  for (auto* metrics : {&one, &first, &second}) metrics->begin_epoch();
  log_rows(one, rows);
  log_rows(first, rows.slice(0, 0, 5));
  log_rows(second, rows.slice(0, 5));
  first.merge(second.state_dict());
  const auto actual = first.epoch_values(For::callbacks);
  for (const auto& [name, value] : one.epoch_values(For::callbacks)) {
    EXPECT_NEAR(actual.at(name), value, 1e-12) << name;
  }
}

}  // namespace levin::logged_values_test
