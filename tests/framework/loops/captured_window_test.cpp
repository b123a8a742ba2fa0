// Steps whose gradients are accumulated over a window of batches, captured as a whole, on the CPU.
#include "framework/loops/captured_fit.h"

#include <gtest/gtest.h>

#include <tuple>
#include <utility>

namespace levin::captured_window_test {

using namespace test::captured;
using test::PointsModule;

/// A fit on 20 full batches and a short one, whose hooks get no batch.
struct WindowFit : Fit {
  explicit WindowFit(const char* graph) {
    callback_hooks = HookSet();
    data = PointsModule(203, {.batch_size = 10, .shuffle = true, .seed = 5});
    options.data_on_device = "on";
    options.cuda_graph = graph;
    options.gradient_clip_val = 0.5;
    options.log_every_n_steps = 0;
    loggers = {&rows};
  }
  RowKeeper rows;
};

// If gradients are accumulated, a graph trains on a window of batches or on several. The first
// three steps, and windows that aren't full, are trained on without it.
TEST(CapturedWindow, of_batches_gives_the_bits_of_eager_steps) {
  struct Case {
    int64_t accumulate, validate_every, log_every, steps, replays;
  };
  for (const Case& c : {Case{4, 21, 0, 18, 2 + 2 * 2}, Case{4, 5, 0, 18, 2 + 2 * 5},
                        Case{4, 21, 3, 18, 2 + 2 * 5}, Case{2, 21, 0, 33, 7 + 2 * 3},
                        Case{20, 7, 1, 6, 1}, Case{21, 21, 1, 3, 0}, Case{30, 21, 1, 3, 0}}) {
    SCOPED_TRACE(testing::Message() << c.accumulate << " " << c.validate_every);
    const auto train = [&](const char* graph) {
      WindowFit fit(graph);
      fit.options.accumulate_grad_batches = c.accumulate;
      fit.options.val_check_interval = c.validate_every;
      fit.options.log_every_n_steps = c.log_every;
      const Result result = fit();
      EXPECT_EQ(fit.run.global_step(), c.steps);
      return std::tuple(result, fit.rows.rows, fit.run.updates_of("val_loss"));
    };
    const auto [expected, expected_rows, expected_validations] = train("off");
    const auto [captured, rows, validations] = train("on");
    EXPECT_EQ(captured.replays, c.replays);
    expect_same(captured, expected);
    EXPECT_EQ(rows, expected_rows);
    EXPECT_EQ(validations, expected_validations);
  }
}

TEST(CapturedWindow, is_captured_anew_if_its_length_changes) {
  const auto train = [](const char* graph) {
    WindowFit fit(graph);
    fit.options.max_epochs = 5;
    fit.module.windows_ = {1, 3, 1, 1, 5};
    const Result result = fit();
    EXPECT_EQ(fit.run.global_step(), 21 + 7 + 21 + 21 + 5);
    return result;
  };
  const Result captured = train("on");
  // A graph of 16 batches follows once the first step of its kind was captured: 1 + 16, 1 + 15 and
  // 16, and of the last 4 windows one by one.
  EXPECT_EQ(captured.replays, (1 + 1 + 0) + (1 + 1) + (1 + 1 + 3) + (1 + 4) + (1 + 1));
  expect_same(captured, train("off"));
}

TEST(CapturedWindow, stops_and_validates_where_eager_steps_do) {
  for (const char* graph : {"off", "on"}) {
    WindowFit fit(graph);
    fit.options.accumulate_grad_batches = 3;
    fit.options.max_steps = 12;
    fit.options.val_check_interval = 4;
    fit();
    EXPECT_EQ(fit.run.global_step(), 12);
    EXPECT_EQ(fit.run.progress().batch, 15);
    EXPECT_EQ(fit.run.updates_of("val_loss"), 5 + 3);
  }
}

// The hooks of a batch come before the next one, which a graph of the whole window can't do.
TEST(CapturedWindow, is_not_captured_if_hooks_get_its_batches) {
  Fit fit;
  fit.options.data_on_device = "on";
  fit.module.windows_ = {1, 2, 1};
  const Result captured = fit();
  EXPECT_EQ(captured.replays, 7 + 0 + 10);
  Fit other;
  other.module.windows_ = {1, 2, 1};
  other.options.cuda_graph = "off";
  expect_same(captured, other());
}

}  // namespace levin::captured_window_test
