#include <levin/framework/logged/logged_values.h>

#include <gtest/gtest.h>

#include "framework/allocations.h"
#include "framework/logged/logged_epochs.h"

// What logging costs a step, on the CPU and on a GPU.

namespace levin::logged_values_test {

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
