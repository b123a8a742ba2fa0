#include <gtest/gtest.h>
#include <levin/framework/core/error.h>
#include <levin/framework/parameter_server/parameter_server.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "framework/eventually.h"
#include "framework/message_of.h"
#include "framework/parameter_server/server_stranger.h"

namespace levin::parameter_server_test {
namespace {

using test::adding;
using test::eventually;
using test::message_of;
using test::Numbers;
using test::says;
using test::Stranger;

TEST(ServerClock, a_worker_reads_only_within_the_bound) {
  ServerClock in_step(2, 0), bounded(2, 2), free(2, ServerClock::kUnbounded);
  for (ServerClock* clock : {&in_step, &bounded, &free}) {
    for (int i = 0; i < 3; ++i) clock->advance(0);
  }
  EXPECT_FALSE(in_step.may_read(0));
  EXPECT_FALSE(bounded.may_read(0)) << "3 ahead";
  EXPECT_TRUE(bounded.may_read(1));
  EXPECT_TRUE(free.may_read(0));
  bounded.advance(1);
  EXPECT_TRUE(bounded.may_read(0)) << "2 ahead";
  in_step.leave(1);
  EXPECT_TRUE(in_step.may_read(0)) << "the other one has left";
}

template <class T>
void expect_sum_of_rows(int64_t width) {
  const auto columns = static_cast<size_t>(width);
  std::vector<T> values(3 * columns, T(1)), gradient(2 * columns);
  for (size_t i = 0; i < gradient.size(); ++i) gradient[i] = static_cast<T>(i);
  auto expected = values;
  for (size_t k = 0; k < columns; ++k) {
    expected[k] -= T(0.5) * gradient[k];
    expected[2 * columns + k] -= T(0.5) * gradient[columns + k];
  }
  add_gradient(values, width,
               {.is_list = true, .rows = {0, 2}, .count = 2, .values = ServerSpan(gradient)}, -0.5);
  EXPECT_EQ(values, expected) << "rows of " << width;
}

TEST(ParameterServer, gradients_are_added_to_rows_of_any_width) {
  for (const int64_t width : {1, 15, 16, 17, 40}) {
    expect_sum_of_rows<float>(width);
    expect_sum_of_rows<double>(width);
  }
}

/// Least squares of two rows for each worker, by steps of the sum of their gradients.
Numbers gradient_at(const Numbers& w, int64_t worker) {
  Numbers gradient(w.size());
  for (size_t row = 0; row < 2; ++row) {
    double error = -1.0 - static_cast<double>(worker);
    const auto x = [&](size_t i) {
      return 0.1 * static_cast<double>((i * 7 + row * 3 + static_cast<size_t>(worker)) % 11);
    };
    for (size_t i = 0; i < w.size(); ++i) error += w[i] * x(i);
    for (size_t i = 0; i < w.size(); ++i) gradient[i] -= 0.05 * error * x(i);
  }
  return gradient;
}

TEST(ParameterServer, workers_in_step_have_the_bits_of_one_process) {
  constexpr int64_t kWorkers = 3;
  constexpr int kSteps = 20;
  Numbers expected(5);
  for (int step = 0; step < kSteps; ++step) {
    const Numbers before = expected;
    for (int64_t worker = 0; worker < kWorkers; ++worker) {
      const Numbers gradient = gradient_at(before, worker);
      for (size_t i = 0; i < expected.size(); ++i) expected[i] += gradient[i];
    }
  }
  ParameterServer server({.workers = kWorkers, .rows = 5, .token = "secret"}, Numbers(5), adding());
  std::vector<std::thread> threads;
  for (int64_t worker = 0; worker < kWorkers; ++worker) {
    threads.emplace_back([&, worker] {
      ParameterClient client(server.port(), worker, "secret");
      Numbers w(5);
      for (int step = 0; step < kSteps; ++step) {
        client.push(gradient_at(w, worker));
        client.pull(w);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(server.values(), expected);
  EXPECT_FALSE(server.failed_worker());
}

TEST(ParameterServer, no_worker_reads_staler_values_than_its_bound) {
  constexpr int64_t kWorkers = 3;
  for (const int64_t staleness : {0, 1, 4}) {
    ParameterServer server(
        {.workers = kWorkers, .staleness = staleness, .rows = kWorkers, .token = "secret"},
        Numbers(kWorkers), adding());
    std::atomic<int64_t> worst{0};
    std::vector<std::thread> threads;
    for (int64_t worker = 0; worker < kWorkers; ++worker) {
      threads.emplace_back([&, worker] {
        ParameterClient client(server.port(), worker, "secret");
        Numbers pushes(kWorkers);  // of each worker, as far as they can be seen
        const std::vector<int64_t> own = {worker};
        const Numbers one = {1.0};
        for (int64_t clock = 1; clock <= 60; ++clock) {
          client.push(one, own);
          client.pull(pushes);
          const double slowest = *std::min_element(pushes.begin(), pushes.end());
          const int64_t lag = clock - static_cast<int64_t>(slowest);
          for (int64_t seen = worst; lag > seen && !worst.compare_exchange_weak(seen, lag);) {
          }
        }
      });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_LE(worst, staleness);
    EXPECT_EQ(server.values(), Numbers(kWorkers, 60.0));
  }
}

TEST(ParameterServer, a_worker_beyond_the_bound_waits_for_the_slowest) {
  ParameterServer server({.workers = 2, .staleness = 1, .rows = 1, .token = "secret"}, Numbers(1),
                         adding());
  ParameterClient fast(server.port(), 0, "secret"), slow(server.port(), 1, "secret");
  Numbers w(1), one = {1.0};
  fast.push(one);
  fast.pull(w);
  EXPECT_EQ(w[0], 1.0) << "one ahead";
  fast.push(one);
  const auto before = server.bytes_received();
  std::thread waiting([&] { fast.pull(w); });
  EXPECT_TRUE(eventually([&] { return server.bytes_received() > before; })) << "asked to pull";
  slow.push(one);
  waiting.join();
  EXPECT_EQ(w[0], 3.0);
}

TEST(ParameterServer, sparse_rows_are_pushed_and_pulled_by_their_numbers) {
  ParameterServer server(
      {.workers = 1, .staleness = ServerClock::kUnbounded, .rows = 6, .width = 2, .token = "t"},
      Numbers(12), adding(2));
  ParameterClient client(server.port(), 0, "t");
  const std::vector<int64_t> rows = {1, 4}, none;
  const Numbers values = {1.0, 2.0, 3.0, 4.0};
  client.push(values, rows);
  client.push(Numbers(), none);
  Numbers some(4), all(12);
  client.pull(some, std::vector<int64_t>{0, 4});
  EXPECT_EQ(some, (Numbers{0.0, 0.0, 3.0, 4.0}));
  client.pull(all);
  EXPECT_EQ(all, (Numbers{0, 0, 1, 2, 0, 0, 0, 0, 3, 4, 0, 0}));
}

TEST(ParameterServer, a_worker_that_dies_while_it_pushes_is_named_and_adds_nothing) {
  for (const int64_t staleness : {int64_t{0}, ServerClock::kUnbounded}) {
    ParameterServer server({.workers = 2, .staleness = staleness, .rows = 100, .token = "secret"},
                           Numbers(100), adding());
    ParameterClient alive(server.port(), 0, "secret");
    {
      Stranger dying(server.port());
      dying.join(1, "secret");
      dying.send({.kind = ServerRequest::Kind::push, .worker = 1, .count = 100});
      dying.send(std::string(99 * sizeof(double), '\x40'));
    }
    Numbers w(100);
    const auto message = message_of<DistributedError>([&] {
      for (;;) {
        alive.push(Numbers(100));
        alive.pull(w);
      }
    });
    EXPECT_TRUE(says(message, {"worker 1", "failed"})) << message;
    EXPECT_EQ(server.failed_worker(), 1);
    EXPECT_EQ(server.values(), Numbers(100));
  }
}

TEST(ParameterServer, a_worker_that_goes_while_it_waits_may_have_said_why) {
  ParameterServer server({.workers = 3, .rows = 1, .token = "t"}, Numbers(1), adding());
  ParameterClient other(server.port(), 1, "t");
  {
    Stranger waiting(server.port());
    waiting.join(0, "t");
    waiting.send({.kind = ServerRequest::Kind::push, .count = 1});
    waiting.send(std::string(sizeof(double), '\0'));
    EXPECT_EQ(waiting.answer().status, 0);
    waiting.send({.kind = ServerRequest::Kind::pull, .count = 1});  // for the other workers
    waiting.send({.kind = ServerRequest::Kind::report, .first = 1 + 2});
  }
  EXPECT_TRUE(eventually([&] { return server.failed_worker() == 0; }));
  Numbers w(1);
  const auto message = message_of<DistributedError>([&] { other.pull(w); });
  EXPECT_TRUE(says(message, {"worker 2"})) << message;
}

TEST(ParameterServer, only_the_ranks_of_the_run_are_accepted_and_each_once) {
  ParameterServer server({.workers = 2, .rows = 1, .token = "secret"}, Numbers(1), adding());
  ParameterClient first(server.port(), 0, "secret");
  const auto refused = [&](int64_t worker, const std::string& token) {
    return message_of<DistributedError>(
        [&] { ParameterClient client(server.port(), worker, token); });
  };
  for (const auto& message : {refused(1, "secreT"), refused(1, ""), refused(0, "secret"),
                              refused(2, "secret"), refused(1, std::string(65, 'a'))}) {
    EXPECT_TRUE(says(message, {"didn't accept worker"})) << message;
  }
  const ParameterClient second(server.port(), 1, "secret");
  EXPECT_FALSE(server.failed_worker());
}

TEST(ParameterServer, values_are_read_and_changed_between_gradients) {
  ParameterServer server({.workers = 1, .rows = 2, .token = "t"}, std::vector<float>{1.0F, 2.0F},
                         adding());
  ParameterClient client(server.port(), 0, "t");
  server.with_values([](ServerSpan values) { values.as<float>()[0] = 7.0F; });
  std::vector<float> w(2);
  client.pull(w);
  EXPECT_EQ(w, (std::vector<float>{7.0F, 2.0F}));
  EXPECT_EQ(server.values<float>(), w);
  EXPECT_THROW(server.values<double>(), ConfigError);
}

}  // namespace
}  // namespace levin::parameter_server_test
