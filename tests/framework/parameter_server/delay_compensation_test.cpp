#include <gtest/gtest.h>
#include <levin/framework/core/error.h>
#include <levin/framework/parameter_server/parameter_server.h>

#include <span>
#include <vector>

#include "framework/message_of.h"
#include "framework/parameter_server/server_stranger.h"

namespace levin::delay_compensation_test {
namespace {

using test::adding;
using test::message_of;
using test::Numbers;
using test::says;

TEST(DelayCompensation, is_that_of_a_case_by_hand) {
  ParameterServer server({.workers = 2,
                          .staleness = ServerClock::kUnbounded,
                          .rows = 3,
                          .token = "t",
                          .delay_compensation = 0.5},
                         Numbers{1.0, 2.0, 3.0}, adding());
  ParameterClient late(server.port(), 0, "t"), other(server.port(), 1, "t");
  Numbers w(3);
  late.pull(w);
  other.push(Numbers{4.0, 0.0, -2.0});  // hasn't pulled, so nothing is compensated
  other.pull(w);
  EXPECT_EQ(w, (Numbers{5.0, 2.0, 1.0}));
  late.push(Numbers{3.0, 1.0}, std::vector<int64_t>{0, 2});
  late.pull(w);
  // 3 + 0.5 * 9 * (5 - 1) = 21, and 1 + 0.5 * 1 * (1 - 3) = 0
  EXPECT_EQ(w, (Numbers{26.0, 2.0, 1.0}));
  late.push(Numbers{1.0}, {1, 1});
  late.pull(w);
  EXPECT_EQ(w[1], 3.0) << "nothing has changed since the last pull";
}

/// The value of a quadratic problem, w^2 / 2, from w = 1, after three steps of a worker and then
/// one of another worker, which pulled before them.
double value_after_late_step(double lambda) {
  constexpr double kRate = 0.3;
  const auto step = [](ServerSpan values, std::span<const ServerGradient> gradients) {
    for (const auto& gradient : gradients) add_gradient(values, 1, gradient, -kRate);
  };
  ParameterServer server({.workers = 2,
                          .staleness = ServerClock::kUnbounded,
                          .rows = 1,
                          .token = "t",
                          .delay_compensation = lambda},
                         Numbers{1.0}, step);
  ParameterClient late(server.port(), 0, "t"), other(server.port(), 1, "t");
  Numbers old(1), w(1);
  late.pull(old);
  for (int i = 0; i < 3; ++i) {
    other.pull(w);
    other.push(w);  // the gradient of w^2 / 2 is w
  }
  other.pull(w);
  EXPECT_NEAR(w[0], 0.343, 1e-12);
  late.push(old);
  late.pull(w);
  return w[0];
}

TEST(DelayCompensation, turns_a_late_gradient_of_a_quadratic_problem_into_the_present_one) {
  EXPECT_NEAR(value_after_late_step(0.0), 0.343 - 0.3 * 1.0, 1e-12);
  // The second derivative is 1, and so is lambda * g * g: 1 + (0.343 - 1) is the gradient at 0.343.
  EXPECT_NEAR(value_after_late_step(1.0), 0.343 - 0.3 * 0.343, 1e-12);
}

TEST(DelayCompensation, is_refused_for_workers_in_step) {
  const auto message = message_of<ConfigError>([] {
    ParameterServer server({.rows = 1, .token = "t", .delay_compensation = 0.1}, Numbers(1),
                           adding());
  });
  EXPECT_TRUE(says(message, {"delay_compensation", "no delay"})) << message;
}

}  // namespace
}  // namespace levin::delay_compensation_test
