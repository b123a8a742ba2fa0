// Captured steps on the CPU, by the twin of a graph, which repeats the work: through the same
// interfaces as on a GPU, and with the same bits as steps that aren't captured.
#include "framework/loops/captured_fit.h"

#include <gtest/gtest.h>

#include <functional>
#include <tuple>
#include <vector>

#include "framework/message_of.h"

namespace levin::captured_step_test {

using namespace test::captured;
using test::PointsModule;

// An epoch has 10 full batches and a short one. The first three steps of the fit aren't captured.
TEST(CapturedStep, gives_the_bits_of_eager_steps_from_data_that_are_read) {
  const Result expected = eager();
  EXPECT_EQ(expected.replays, 0);
  ASSERT_EQ(expected.step_losses.size(), 33U);
  Fit captured;
  const Result result = captured();
  EXPECT_EQ(result.replays, 3 * 10 - 3);
  expect_same(result, expected);
  EXPECT_EQ(captured.run.global_step(), 33);
  EXPECT_EQ(captured.module.epochs, (std::vector<int64_t>{0, 1, 2}));
}

TEST(CapturedStep, gives_the_bits_of_eager_steps_from_data_that_live_on_the_device) {
  Fit captured;
  captured.options.data_on_device = "on";
  const Result result = captured();
  EXPECT_EQ(result.replays, 3 * 10 - 3);
  expect_same(result, eager());
}

// Where nothing is asked of the host between them, many steps are replayed at a time.
TEST(CapturedStep, many_at_a_time_give_the_bits_of_eager_steps) {
  struct Outcome {
    Result result;
    std::vector<std::tuple<int64_t, int64_t, MetricMap>> rows;
  };
  const auto train = [](const char* graph, int64_t log_every, int64_t max_steps,
                        bool overrides = false) {
    Fit fit;
    fit.callback_hooks = HookSet();  // the callback has no hook of a batch
    fit.data = PointsModule(1003, {.batch_size = 10, .shuffle = true, .seed = 5});
    fit.options.data_on_device = "on";
    fit.options.cuda_graph = graph;
    fit.options.log_every_n_steps = log_every;
    fit.options.max_steps = max_steps;
    fit.options.val_check_interval = 60;
    fit.module.sees_batches_ = overrides;
    RowKeeper rows;
    fit.loggers = {&rows};
    auto result = fit();
    EXPECT_EQ(fit.run.global_step(), max_steps);
    EXPECT_EQ(fit.module.batches_seen, overrides ? max_steps : 0);
    EXPECT_EQ(fit.run.updates_of("val_loss"), 2);
    return Outcome{std::move(result), rows.rows};
  };
  for (const int64_t log_every : {0, 7, 50}) {
    SCOPED_TRACE(log_every);
    const Outcome expected = train("off", log_every, 199);
    const Outcome captured = train("auto", log_every, 199);
    expect_same(captured.result, expected.result);
    EXPECT_EQ(captured.rows, expected.rows);
    EXPECT_EQ(captured.rows.size(), log_every == 0 ? 0U : 199U / static_cast<size_t>(log_every));
    // Of 199 steps, three are eager and one is short; a row after every seven leaves no 16.
    EXPECT_EQ(captured.result.replays < 100, log_every != 7);
  }
  EXPECT_EQ(train("auto", 0, 199, /*overrides=*/true).result.replays, 199 - 4);
}

TEST(CapturedStep, stops_and_validates_where_eager_steps_do) {
  for (const char* graph : {"off", "auto"}) {
    Fit fit;
    fit.options.cuda_graph = graph;
    fit.options.data_on_device = "on";
    fit.options.max_steps = 17;
    fit.options.val_check_interval = 4;
    fit();
    EXPECT_EQ(fit.run.global_step(), 17);
    EXPECT_EQ(fit.run.progress().batch, 6);
    EXPECT_EQ(fit.run.updates_of("val_loss"), 3);
  }
}

TEST(CapturedStep, is_left_out_where_something_stands_in_its_way) {
  const auto replays = [](const std::function<void(Fit&)>& change) {
    Fit fit;
    change(fit);
    return fit().replays;
  };
  EXPECT_EQ(replays([](Fit& fit) { fit.module.capturable_ = false; }), 0);
  EXPECT_EQ(replays([](Fit& fit) { fit.options.accumulate_grad_batches = 2; }), 0);
  EXPECT_EQ(replays([](Fit& fit) { fit.options.detect_anomaly = true; }), 0);
  EXPECT_EQ(replays([](Fit& fit) { fit.callback_hooks.add(BatchHook::before_backward, true); }), 0);
  EXPECT_EQ(replays([](Fit& fit) { fit.callback_hooks.add(BatchHook::train_batch_start, true); }),
            0);
}

TEST(CapturedStep, what_stands_in_its_way_is_an_error_if_it_is_wanted) {
  const auto message = [](const std::function<void(Fit&)>& change) {
    Fit fit;
    fit.options.cuda_graph = "on";
    change(fit);
    return test::message_of<ConfigError>([&] { fit(); });
  };
  const auto says = [](const std::string& text, const char* part) {
    return text.find(part) != text.npos;
  };
  EXPECT_TRUE(says(message([](Fit& fit) { fit.module.capturable_ = false; }), "capturable()"));
  EXPECT_TRUE(says(message([](Fit& fit) { fit.options.detect_anomaly = true; }), "detect_anomaly"));
  EXPECT_TRUE(says(message([](Fit& fit) { fit.options.accumulate_grad_batches = 2; }), "accumul"));
  EXPECT_TRUE(says(
      message([](Fit& fit) { fit.callback_hooks.add(BatchHook::after_backward, true); }), "hook"));
  Net net;
  PointsModule data(40, {.batch_size = 10});
  Trainer on_cpu({.accelerator = "cpu", .max_epochs = 1, .cuda_graph = "on"});
  EXPECT_TRUE(says(test::message_of<ConfigError>([&] { on_cpu.fit(net, data); }), "cpu"));
}

TEST(CapturedStep, logging_a_number_of_the_host_is_an_error) {
  Fit fit;
  fit.module.logs_number_ = true;
  const auto message = test::message_of<ModuleError>([&] { fit(); });
  EXPECT_NE(message.find("log(\"number\")"), message.npos) << message;
}

// A hook that keeps what it got gets values that no later step overwrites: from then on, steps
// aren't captured.
TEST(CapturedStep, what_a_hook_keeps_stays_as_it_was) {
  const Result expected = eager();
  for (const bool keeps_view : {false, true}) {
    Fit fit;
    std::vector<torch::Tensor> kept;
    fit.callback.work = [&](const torch::Tensor& loss, const Batch&, Step&) {
      kept.push_back(keeps_view ? loss.view({1}) : loss);
    };
    const Result result = fit();
    EXPECT_EQ(result.replays, 1);
    ASSERT_EQ(kept.size(), expected.step_losses.size());
    for (size_t i = 0; i < kept.size(); ++i) {
      EXPECT_EQ(kept[i].item<float>(), expected.step_losses[i]) << i;
    }
  }
  Fit strict;
  strict.options.cuda_graph = "on";
  std::vector<Batch> kept;
  strict.callback.work = [&](const torch::Tensor&, const Batch& batch, Step&) {
    kept.push_back(batch);
  };
  EXPECT_THROW(strict(), ModuleError);
}

// What a graph can't know is noticed, and the step is captured anew.
TEST(CapturedStep, follows_what_changes_between_steps) {
  const auto train = [](const char* graph) {
    Fit fit;
    fit.options.cuda_graph = graph;
    fit.options.data_on_device = "on";
    auto parameters = fit.module.parameters();
    fit.callback.work = [&, step = 0](const torch::Tensor& loss, const Batch&, Step&) mutable {
      ++step;
      if (step == 8) parameters[0].requires_grad_(false);
      if (step == 15) parameters[0].requires_grad_(true);
      if (step == 19) parameters[1].set_data(parameters[1].detach().clone());
      fit.step_losses.push_back(loss.item<float>());
    };
    return fit();
  };
  const Result expected = train("off");
  const Result captured = train("on");
  EXPECT_EQ(captured.replays, 3 * 10 - 3);
  expect_same(captured, expected);
}

TEST(CapturedStep, gradients_are_there_after_each_step) {
  Fit fit;
  int64_t seen = 0;
  fit.callback.work = [&](const torch::Tensor&, const Batch&, Step&) {
    for (const auto& parameter : fit.module.parameters()) {
      ASSERT_TRUE(parameter.grad().defined());
      ++seen;
    }
  };
  fit();
  EXPECT_EQ(seen, 33 * 4);
}

}  // namespace levin::captured_step_test
