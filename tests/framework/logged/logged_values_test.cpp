#include <levin/framework/logged/logged_values.h>

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include <levin/framework/core/error.h>

#include "framework/logged/logged_epochs.h"
#include "framework/message_of.h"

namespace levin::logged_values_test {

using test::message_of;
using test::says;

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

}  // namespace levin::logged_values_test
