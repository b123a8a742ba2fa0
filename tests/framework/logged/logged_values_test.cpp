#include <levin/framework/logged/logged_values.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include <levin/framework/core/error.h>

#include "framework/allocations.h"
#include "framework/message_of.h"
#include "framework/support.h"

namespace levin::logged_values_test {

using test::message_of;
using test::says;
using For = LoggedValues::For;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t kSizes[] = {32, 32, 7, 1, 32, 19};  // of uneven batches

/// One value a row, the same each time.
torch::Tensor rows_of(int64_t batch, int64_t rows) {
  auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(batch) + 1);
  return torch::randn({rows}, generator, torch::kDouble);
}

/// An epoch with one `log` a batch of what `value` makes of its rows.
template <class Value>
LoggedValues epoch(const LogOptions& options, Value value, bool on_step = false) {
  LoggedValues metrics;
  metrics.begin_epoch();
  int64_t batch = 0;
  for (const int64_t rows : kSizes) {
    metrics.begin_window();
    metrics.begin_batch(rows, 0, 1);
    metrics.log("x", value(rows_of(batch++, rows)), options, on_step, !on_step);
  }
  return metrics;
}

torch::Tensor all_rows() {
  std::vector<torch::Tensor> all;
  int64_t batch = 0;
  for (const int64_t rows : kSizes) all.push_back(rows_of(batch++, rows));
  return torch::cat(all);
}

void step(LoggedValues& metrics, int64_t rows) {
  metrics.begin_window();
  metrics.begin_batch(rows, 0, 1);
}

TEST(MetricsReduce, mean_over_uneven_batches_is_the_mean_over_all_rows) {
  LoggedValues metrics = epoch({}, [](const auto& rows) { return rows.mean(); });
  EXPECT_NEAR(metrics.epoch_values(For::callbacks).at("x"), all_rows().mean().item<double>(),
              1e-15);
  const double mean_of_means = [] {
    double sum = 0.0;
    for (int64_t i = 0; i < std::ssize(kSizes); ++i) {
      sum += rows_of(i, kSizes[i]).mean().item<double>();
    }
    return sum / static_cast<double>(std::size(kSizes));
  }();
  EXPECT_GT(std::abs(mean_of_means - all_rows().mean().item<double>()), 1e-3);  // it could fail
}

TEST(MetricsReduce, sum_min_and_max_are_those_of_all_rows) {
  LoggedValues sum = epoch({.reduce = Reduce::sum}, [](const auto& rows) { return rows.sum(); });
  EXPECT_NEAR(sum.epoch_values(For::callbacks).at("x"), all_rows().sum().item<double>(), 1e-12);
  LoggedValues min = epoch({.reduce = Reduce::min}, [](const auto& rows) { return rows.min(); });
  EXPECT_EQ(min.epoch_values(For::callbacks).at("x"), all_rows().min().item<double>());
  LoggedValues max = epoch({.reduce = Reduce::max}, [](const auto& rows) { return rows.max(); });
  EXPECT_EQ(max.epoch_values(For::callbacks).at("x"), all_rows().max().item<double>());
}

TEST(MetricsReduce, nan_and_infinity_are_not_lost) {
  for (const auto reduce : {Reduce::mean, Reduce::sum, Reduce::min, Reduce::max}) {
    for (int bad = 0; bad < 3; ++bad) {
      LoggedValues metrics;
      metrics.begin_epoch();
      for (int i = 0; i < 3; ++i) {
        step(metrics, 4);
        metrics.log("x", i == bad ? kNan : 1.0 * i, {.reduce = reduce}, false, true);
      }
      EXPECT_TRUE(std::isnan(metrics.epoch_values(For::callbacks).at("x")))
          << static_cast<int>(reduce) << " at " << bad;
    }
  }
  LoggedValues metrics;
  step(metrics, 4);
  metrics.log("low", -std::numeric_limits<double>::infinity(), {.reduce = Reduce::max}, false,
              true);
  EXPECT_EQ(metrics.epoch_values(For::callbacks).at("low"),
            -std::numeric_limits<double>::infinity());
}

TEST(MetricsReduce, batch_size_replaces_the_weight_of_the_batch) {
  LoggedValues metrics;
  step(metrics, 10);
  metrics.log("x", 1.0, {.batch_size = 1}, false, true);
  step(metrics, 10);
  metrics.log("x", 4.0, {.batch_size = 2}, false, true);
  EXPECT_DOUBLE_EQ(metrics.epoch_values(For::callbacks).at("x"), 3.0);
}

TEST(MetricsReduce, a_batch_without_rows_says_nothing) {
  for (const auto reduce : {Reduce::mean, Reduce::sum, Reduce::min, Reduce::max}) {
    LoggedValues metrics;
    step(metrics, 0);
    metrics.log("x", kNan, {.reduce = reduce}, true, true);  // the mean of no rows
    EXPECT_TRUE(metrics.epoch_values(For::callbacks).empty());
    EXPECT_TRUE(metrics.step_values(For::callbacks).empty());
    EXPECT_FALSE(metrics.has_step_values());
    step(metrics, 2);
    metrics.log("x", 5.0, {.reduce = reduce}, true, true);
    EXPECT_EQ(metrics.epoch_values(For::callbacks).at("x_epoch"), 5.0);
  }
}

TEST(MetricsWindow, with_accumulation_is_the_mean_over_the_windows_rows) {
  LoggedValues metrics;
  metrics.begin_epoch();
  for (int window = 0; window < 2; ++window) {
    metrics.begin_window();
    metrics.begin_batch(30, 0, 1);
    metrics.log("loss", 1.0 + window, {}, true, false);
    metrics.begin_batch(10, 0, 1);
    metrics.log("loss", 5.0 + window, {}, true, false);
    EXPECT_DOUBLE_EQ(metrics.step_values(For::callbacks).at("loss"), 2.0 + window);
  }
  metrics.begin_window();
  EXPECT_FALSE(metrics.has_step_values());
  EXPECT_TRUE(metrics.step_values(For::callbacks).empty());
}

TEST(MetricsWindow, reduces_as_asked) {
  LoggedValues metrics;
  for (const auto& [name, reduce, expected] :
       {std::tuple("sum", Reduce::sum, 6.0), std::tuple("min", Reduce::min, 1.0),
        std::tuple("max", Reduce::max, 5.0)}) {
    metrics.begin_window();
    for (const double value : {5.0, 1.0}) {
      metrics.begin_batch(3, 0, 1);
      metrics.log(name, value, {.reduce = reduce}, true, false);
    }
    EXPECT_EQ(metrics.step_values(For::callbacks).at(name), expected) << name;
  }
}

TEST(MetricsWindow, values_can_be_asked_for_again_and_again) {
  LoggedValues metrics = epoch(
      {}, [](const auto& rows) { return rows.mean(); }, true);
  const auto first = metrics.step_values(For::callbacks);
  EXPECT_EQ(metrics.step_values(For::callbacks), first);
  EXPECT_EQ(first.size(), 1U);
  EXPECT_TRUE(metrics.epoch_values(For::callbacks).empty());
}

TEST(MetricsWindow, forgetting_the_values_of_the_step_leaves_those_of_the_epoch) {
  LoggedValues metrics;
  metrics.begin_epoch();
  step(metrics, 1);
  metrics.log("x", 2.0, {}, /*on_step=*/true, /*on_epoch=*/true);
  metrics.forget_step_values();
  EXPECT_FALSE(metrics.has_step_values());
  EXPECT_TRUE(metrics.step_values(For::callbacks).empty());
  EXPECT_EQ(metrics.epoch_values(For::callbacks), (MetricMap{{"x", 2.0}, {"x_epoch", 2.0}}));
}

TEST(MetricsWindow, what_is_logged_now_and_then_stays_for_those_who_have_not_read_it) {
  LoggedValues metrics;
  metrics.begin_epoch();
  step(metrics, 1);
  metrics.log("seldom", 2.0, {.prog_bar = true}, /*on_step=*/true, /*on_epoch=*/false);
  for (int i = 0; i < 3; ++i) step(metrics, 1);
  EXPECT_FALSE(metrics.has_step_values());
  for (const auto whom : {For::callbacks, For::logger, For::progress_bar}) {
    EXPECT_EQ(metrics.step_values(whom), (MetricMap{{"seldom", 2.0}}));
    EXPECT_TRUE(metrics.step_values(whom).empty()) << "once";
  }
  step(metrics, 1);
  metrics.log("seldom", 3.0, {.prog_bar = true}, /*on_step=*/true, /*on_epoch=*/false);
  EXPECT_EQ(metrics.step_values(For::logger), (MetricMap{{"seldom", 3.0}}));
}

TEST(MetricsWindow, a_value_waits_for_its_row_across_epochs_and_checkpoints) {
  LoggedValues before;
  before.begin_epoch();
  step(before, 1);
  before.log("seldom", 2.0, {}, /*on_step=*/true, /*on_epoch=*/false);
  EXPECT_EQ(before.without_row(), std::vector<std::string>{"seldom"});
  before.forget_step_values();
  before.begin_epoch();
  LoggedValues metrics;
  metrics.load_state_dict(before.state_dict());
  step(metrics, 1);
  EXPECT_TRUE(metrics.step_values(For::callbacks).empty());
  EXPECT_EQ(metrics.step_values(For::logger), (MetricMap{{"seldom", 2.0}}));
  EXPECT_TRUE(metrics.without_row().empty());
  before.forget_rows();
  EXPECT_TRUE(before.step_values(For::logger).empty());
}

TEST(MetricsWindow, says_which_values_were_logged_since_they_were_read) {
  LoggedValues metrics;
  const auto fresh = [&] {
    std::vector<std::string> keys;
    metrics.step_values(For::callbacks, &keys);
    return keys;
  };
  step(metrics, 1);
  metrics.log("a", 1.0, {.on_step = true, .on_epoch = true}, true, false);
  EXPECT_EQ(fresh(), (std::vector<std::string>{"a_step", "a"}));
  EXPECT_TRUE(fresh().empty()) << "read already";
  metrics.log("b", 1.0, {}, true, false);
  EXPECT_EQ(fresh(), std::vector<std::string>{"b"});
}

// Lightning: self.log, on_step and on_epoch.
TEST(MetricsKeys, both_on_step_and_on_epoch_give_two_keys_and_the_bare_one_to_callbacks) {
  LoggedValues metrics;
  for (const double value : {2.0, 4.0}) {
    step(metrics, 1);
    metrics.log("x", value, {.on_step = true, .on_epoch = true}, true, false);
  }
  EXPECT_EQ(metrics.step_values(For::callbacks), (MetricMap{{"x", 4.0}, {"x_step", 4.0}}));
  EXPECT_EQ(metrics.epoch_values(For::callbacks), (MetricMap{{"x", 3.0}, {"x_epoch", 3.0}}));
  EXPECT_EQ(metrics.step_values(For::logger), (MetricMap{{"x_step", 4.0}}));
  EXPECT_EQ(metrics.epoch_values(For::logger), (MetricMap{{"x_epoch", 3.0}}));
}

TEST(MetricsKeys, defaults_are_the_hooks) {
  LoggedValues metrics;
  step(metrics, 1);
  metrics.log("step", 1.0, {}, true, false);
  metrics.log("epoch", 2.0, {}, false, true);
  metrics.log("neither", 3.0, {.on_step = false}, true, false);
  EXPECT_EQ(metrics.step_values(For::callbacks), (MetricMap{{"step", 1.0}}));
  EXPECT_EQ(metrics.epoch_values(For::callbacks), (MetricMap{{"epoch", 2.0}}));
}

TEST(MetricsKeys, loggers_and_progress_bar_get_what_was_meant_for_them) {
  LoggedValues metrics;
  step(metrics, 1);
  metrics.log("plain", 1.0, {}, false, true);
  metrics.log("shown", 2.0, {.prog_bar = true}, false, true);
  metrics.log("silent", 3.0, {.logger = false}, false, true);
  EXPECT_EQ(metrics.epoch_values(For::logger), (MetricMap{{"plain", 1.0}, {"shown", 2.0}}));
  EXPECT_EQ(metrics.epoch_values(For::progress_bar), (MetricMap{{"shown", 2.0}}));
  EXPECT_EQ(metrics.epoch_values(For::callbacks).size(), 3U);
}

TEST(MetricsKeys, the_same_name_with_other_options_is_an_error) {
  for (const LogOptions& other : {LogOptions{.on_step = true}, LogOptions{.on_epoch = false},
                                  LogOptions{.reduce = Reduce::sum}, LogOptions{.prog_bar = true},
                                  LogOptions{.logger = false}}) {
    LoggedValues metrics;
    step(metrics, 1);
    metrics.log("x", 1.0, {}, false, true);
    const auto message =
        message_of<ModuleError>([&] { metrics.log("x", 2.0, other, false, true); });
    EXPECT_TRUE(says(message, {"log(\"x\")", "on_step=false", "on_epoch=true", "mean", "another"}));
    EXPECT_EQ(metrics.epoch_values(For::callbacks).at("x"), 1.0);
  }
}

TEST(MetricsKeys, several_loaders_get_a_suffix_each) {
  LoggedValues metrics;
  metrics.begin_epoch();
  for (int64_t pass = 0; pass < 2; ++pass) {
    for (int64_t loader = 0; loader < 3; ++loader) {
      metrics.begin_window();
      metrics.begin_batch(2, loader, 3);
      metrics.log("loss", static_cast<double>(10 * loader + pass), {}, false, true);
      metrics.log("all", static_cast<double>(loader), {.add_dataloader_idx = false}, false, true);
    }
  }
  EXPECT_EQ(metrics.epoch_values(For::logger), (MetricMap{{"all", 1.0},
                                                          {"loss/dataloader_idx_0", 0.5},
                                                          {"loss/dataloader_idx_1", 10.5},
                                                          {"loss/dataloader_idx_2", 20.5}}));
}

TEST(MetricsKeys, a_value_of_the_whole_epoch_does_not_mix_with_a_loaders) {
  LoggedValues metrics;
  metrics.begin_epoch();
  for (int64_t loader = 0; loader < 2; ++loader) {
    metrics.begin_batch(100, loader, 2);
    metrics.log("loss", 1.0 + static_cast<double>(loader), {}, false, true);
  }
  metrics.log_epoch("loss", 50.0, {});
  EXPECT_EQ(
      metrics.epoch_values(For::callbacks),
      (MetricMap{{"loss", 50.0}, {"loss/dataloader_idx_0", 1.0}, {"loss/dataloader_idx_1", 2.0}}));
}

TEST(MetricsEpoch, begins_without_the_values_of_the_last) {
  LoggedValues metrics;
  metrics.begin_epoch();
  for (const auto* name : {"a", "b"}) {
    step(metrics, 3);
    metrics.log(name, 1.0, {.on_step = true, .on_epoch = true, .reduce = Reduce::max}, false, true);
  }
  metrics.begin_epoch();
  EXPECT_TRUE(metrics.epoch_values(For::callbacks).empty());
  EXPECT_TRUE(metrics.step_values(For::callbacks).empty());
  step(metrics, 3);
  metrics.log("b", -7.0, {.on_step = true, .on_epoch = true, .reduce = Reduce::max}, false, true);
  EXPECT_EQ(metrics.epoch_values(For::callbacks), (MetricMap{{"b", -7.0}, {"b_epoch", -7.0}}));
}

TEST(MetricsLog, takes_one_number_of_any_type_and_shape) {
  LoggedValues metrics;
  step(metrics, 1);
  int i = 0;
  for (const auto type : {torch::kFloat, torch::kDouble, torch::kHalf, torch::kBFloat16,
                          torch::kLong, torch::kInt, torch::kByte}) {
    metrics.log(std::to_string(i++), torch::full({1, 1}, 3, type), {}, false, true);
  }
  metrics.log("bool", torch::tensor(true), {}, false, true);
  for (const auto& [name, value] : metrics.epoch_values(For::callbacks)) {
    EXPECT_EQ(value, name == "bool" ? 1.0 : 3.0) << name;
  }
  EXPECT_EQ(metrics.epoch_values(For::callbacks).size(), 8U);
}

TEST(MetricsLog, keeps_no_graph) {
  LoggedValues metrics;
  step(metrics, 1);
  auto x = torch::ones({}, torch::requires_grad());
  auto loss = x * 2;
  metrics.log("loss", loss, {}, true, false);
  EXPECT_EQ(loss.use_count(), 1U);
  EXPECT_EQ(metrics.step_values(For::callbacks).at("loss"), 2.0);
}

TEST(MetricsLog, refuses_what_is_not_one_number) {
  LoggedValues metrics;
  step(metrics, 1);
  const auto refusal = [&](const torch::Tensor& value) {
    return message_of<ModuleError>([&] { metrics.log("loss", value, {}, true, false); });
  };
  EXPECT_TRUE(says(refusal(torch::ones({4})), {"log(\"loss\")", "4 elements", "mean"}));
  EXPECT_TRUE(says(refusal(torch::ones({0})), {"0 elements"}));
  EXPECT_TRUE(says(refusal(torch::Tensor()), {"undefined"}));
  EXPECT_TRUE(metrics.step_values(For::callbacks).empty());
}

bool same_bits(const MetricMap& a, const MetricMap& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first &&
           std::bit_cast<uint64_t>(x.second) == std::bit_cast<uint64_t>(y.second);
  });
}

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

TEST(MetricsCost, a_step_allocates_nothing_once_the_names_are_known) {
  LoggedValues metrics;
  metrics.begin_epoch();
  const auto value = torch::tensor(0.5);
  const auto with_graph = torch::ones({}, torch::requires_grad()) * 2;
  const auto log_step = [&](bool swapped) {
    metrics.begin_window();
    metrics.begin_batch(32, 0, 1);
    metrics.log("a metric of a name too long for the short string buffer", value, {}, true, false);
    metrics.log(swapped ? "b" : "c", with_graph, {.on_epoch = true, .prog_bar = true}, true, false);
    metrics.log(swapped ? "c" : "b", 0.25, {.on_epoch = true, .prog_bar = true}, true, false);
  };
  log_step(false);
  const int64_t before = test::allocations();
  for (int i = 0; i < 1000; ++i) log_step(i % 2 == 0);
  EXPECT_EQ(test::allocations() - before, 0);
  const auto text = std::make_unique<std::string>(100, 'x');
  EXPECT_GT(test::allocations(), before);  // the count counts
}

// A meta tensor has no numbers: to read one, which waits for a GPU, is an error.
TEST(MetricsCost, values_on_a_device_are_read_when_they_are_asked_for_and_not_before) {
  const auto epoch_of_one = [](Reduce reduce) {
    LoggedValues metrics;
    metrics.begin_epoch();
    for (const int64_t rows : kSizes) {
      step(metrics, rows);
      metrics.log("there", torch::empty({}, torch::kMeta), {.on_epoch = true, .reduce = reduce},
                  true, false);
    }
    return metrics;
  };
  for (const Reduce reduce : {Reduce::mean, Reduce::sum, Reduce::min, Reduce::max}) {
    EXPECT_ANY_THROW(epoch_of_one(reduce).step_values(For::callbacks));
    EXPECT_ANY_THROW(epoch_of_one(reduce).epoch_values(For::callbacks));
  }
}

// On a GPU values stay there until asked for, and give what the CPU gives.
class MetricsCuda : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!torch::cuda::is_available()) GTEST_SKIP() << "needs a GPU";
  }
  static void log(LoggedValues& metrics, int64_t batch, at::Device device) {
    step(metrics, kSizes[batch]);
    const auto rows = rows_of(batch, kSizes[batch]).to(device);
    for (const auto& [name, reduce] :
         {std::pair("mean", Reduce::mean), std::pair("sum", Reduce::sum),
          std::pair("min", Reduce::min), std::pair("max", Reduce::max)}) {
      metrics.log(name, rows[0], {.on_step = true, .on_epoch = true, .reduce = reduce}, true, true);
    }
  }
};

TEST_F(MetricsCuda, gives_the_values_of_the_cpu) {
  LoggedValues host;
  LoggedValues device;
  for (int64_t i = 0; i < std::ssize(kSizes); ++i) {
    log(host, i, at::kCPU);
    log(device, i, at::kCUDA);
  }
  for (const auto& [name, value] : host.epoch_values(For::callbacks)) {
    EXPECT_NEAR(device.epoch_values(For::callbacks).at(name), value, 1e-12) << name;
  }
  EXPECT_EQ(device.step_values(For::callbacks), host.step_values(For::callbacks));
}

TEST_F(MetricsCuda, the_bits_do_not_depend_on_when_values_are_read) {
  LoggedValues unread;
  LoggedValues read;
  for (int64_t i = 0; i < std::ssize(kSizes); ++i) {
    log(unread, i, at::kCUDA);
    log(read, i, at::kCUDA);
    read.step_values(For::callbacks);
  }
  EXPECT_TRUE(same_bits(read.epoch_values(For::callbacks), unread.epoch_values(For::callbacks)));
}

TEST_F(MetricsCuda, a_batch_without_rows_says_nothing_and_nan_is_not_lost) {
  LoggedValues metrics;
  const auto nan = torch::full({}, kNan, at::kCUDA);
  step(metrics, 0);
  metrics.log("x", nan, {}, false, true);
  EXPECT_TRUE(metrics.epoch_values(For::callbacks).empty());
  step(metrics, 1);
  metrics.log("low", nan, {.reduce = Reduce::min}, false, true);
  step(metrics, 1);
  metrics.log("low", torch::zeros({}, at::kCUDA), {.reduce = Reduce::min}, false, true);
  EXPECT_TRUE(std::isnan(metrics.epoch_values(For::callbacks).at("low")));
}

TEST_F(MetricsCuda, host_and_device_values_of_one_name_add_up) {
  LoggedValues metrics;
  for (int i = 0; i < 4; ++i) {
    step(metrics, 1);
    if (i % 2 == 0) {
      metrics.log("x", torch::full({}, 1.0, at::kCUDA), {.reduce = Reduce::sum}, false, true);
    } else {
      metrics.log("x", 10.0, {.reduce = Reduce::sum}, false, true);
    }
  }
  EXPECT_EQ(metrics.epoch_values(For::callbacks).at("x"), 22.0);
}

}  // namespace levin::logged_values_test
