#include <gtest/gtest.h>
#include <levin/framework/core/error.h>
#include <levin/framework/parameter_server/parameter_server.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "framework/message_of.h"
#include "framework/parameter_server/server_stranger.h"

namespace levin::parameter_server_test {
namespace {

using test::adding;
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
  std::atomic<bool> has_pushed{false};
  std::thread waiting([&] {
    fast.pull(w);
    EXPECT_TRUE(has_pushed);
  });
  has_pushed = true;
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

/// The servers of a table whose rows they divide evenly.
class Servers {
 public:
  template <class T>
  Servers(int64_t servers, ParameterServerOptions options, const std::vector<T>& values) {
    const auto first = divided_rows(options.rows, servers);
    const ConstServerSpan all(values);
    for (int64_t i = 0; i < servers; ++i) {
      auto own = options;
      const auto begin = first[static_cast<size_t>(i)];
      own.server = i;
      own.servers = servers;
      own.rows = first[static_cast<size_t>(i) + 1] - begin;
      const auto part = all.part(static_cast<size_t>(begin * own.width),
                                 static_cast<size_t>(own.rows * own.width));
      servers_.push_back(std::make_unique<ParameterServer>(own, part, adding(own.width)));
    }
  }
  std::vector<ServerAddress> addresses() const {
    std::vector<ServerAddress> all;
    for (const auto& server : servers_) all.push_back(server->address());
    return all;
  }
  ParameterServer& operator[](size_t i) { return *servers_[i]; }
  void stop(size_t i) { servers_[i].reset(); }

 private:
  std::vector<std::unique_ptr<ParameterServer>> servers_;
};

TEST(ParameterServers, divide_rows_evenly_in_contiguous_ranges) {
  EXPECT_EQ(divided_rows(10, 3), (std::vector<int64_t>{0, 4, 7, 10}));
  EXPECT_EQ(divided_rows(2, 3), (std::vector<int64_t>{0, 1, 2, 2}));
}

TEST(ParameterServers, take_slices_and_lists_of_the_whole_table_in_both_types) {
  const auto check = [](auto zero) {
    using T = decltype(zero);
    for (const int64_t count : {1, 2, 3}) {
      Servers servers(count, {.workers = 1, .rows = 5, .width = 2, .token = "t"},
                      std::vector<T>(10));
      ParameterClient client(servers.addresses(), 0, "t");
      EXPECT_EQ(client.rows(), 5);
      std::vector<T> all(10), some(4);
      client.push(std::vector<T>{1, 2, 3, 4, 5, 6}, {1, 3});
      client.pull(all);
      EXPECT_EQ(all, (std::vector<T>{0, 0, 1, 2, 3, 4, 5, 6, 0, 0})) << count << " servers";
      client.push(std::vector<T>{10, 20, 30, 40}, std::vector<int64_t>{0, 3});
      client.pull(some, std::vector<int64_t>{3, 4});
      EXPECT_EQ(some, (std::vector<T>{35, 46, 0, 0})) << count << " servers";
      client.pull(some, {0, 2});
      EXPECT_EQ(some, (std::vector<T>{10, 20, 1, 2})) << count << " servers";
    }
  };
  check(0.0F);
  check(0.0);
}

TEST(ParameterServers, send_float32_as_it_is) {
  Servers servers(2, {.workers = 1, .rows = 1000, .token = "t"}, std::vector<float>(1000));
  ParameterClient client(servers.addresses(), 0, "t");
  const auto before = client.bytes_sent();
  client.push(std::vector<float>(1000, 1.0F));
  EXPECT_LT(client.bytes_sent() - before, 4000 + 1000U) << "values of 4 bytes and some heads";
  EXPECT_EQ(servers[0].bytes_received() + servers[1].bytes_received(), client.bytes_sent());
}

TEST(ParameterServers, answer_with_sums_of_weights_and_maxima_of_flags_of_the_round) {
  Servers servers(2, {.workers = 3, .rows = 4, .token = "t"}, Numbers(4));
  std::vector<std::thread> threads;
  for (int64_t worker = 0; worker < 3; ++worker) {
    threads.emplace_back([&, worker] {
      ParameterClient client(servers.addresses(), worker, "t");
      Numbers w(4);
      for (int64_t round = 1; round <= 20; ++round) {
        const double mark = static_cast<double>(round * 10 + worker);
        client.push(Numbers(4, 1.0), {}, {.weight = mark, .flags = {mark, -mark}});
        const auto answer = client.pull(w);
        const auto ten = static_cast<double>(round * 10);
        EXPECT_EQ(answer.round, round);
        EXPECT_EQ(answer.weight, 3.0 * ten + 3.0);
        EXPECT_EQ(answer.flags[0], ten + 2.0);
        EXPECT_EQ(answer.flags[1], -ten);
        EXPECT_EQ(answer.slowest, round);
        EXPECT_EQ(answer.fastest, round);
        EXPECT_EQ(w, Numbers(4, 3.0 * static_cast<double>(round)));
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST(ParameterServers, keep_the_bound_of_the_staleness_on_all_servers) {
  constexpr int64_t kWorkers = 3;
  for (const int64_t staleness : {0, 2}) {
    // A worker adds 1 to a row of its own on each of the servers.
    Servers servers(
        2, {.workers = kWorkers, .staleness = staleness, .rows = 2 * kWorkers, .token = "t"},
        Numbers(2 * kWorkers));
    std::atomic<int64_t> worst{0};
    std::vector<std::thread> threads;
    for (int64_t worker = 0; worker < kWorkers; ++worker) {
      threads.emplace_back([&, worker] {
        ParameterClient client(servers.addresses(), worker, "t");
        Numbers w(2 * kWorkers);
        for (int64_t clock = 1; clock <= 40; ++clock) {
          client.push(Numbers(2, 1.0), std::vector<int64_t>{worker, kWorkers + worker});
          client.pull(w);
          const double slowest = *std::min_element(w.begin(), w.end());
          const int64_t lag = clock - static_cast<int64_t>(slowest);
          for (int64_t seen = worst; lag > seen && !worst.compare_exchange_weak(seen, lag);) {
          }
        }
      });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_LE(worst, staleness);
    EXPECT_EQ(servers[0].values(), Numbers(kWorkers, 40.0));
  }
}

TEST(ParameterServers, refuse_rows_and_values_that_do_not_fit_before_anything_is_sent) {
  Servers servers(2, {.workers = 1, .rows = 4, .width = 2, .token = "t"}, Numbers(8));
  ParameterClient client(servers.addresses(), 0, "t");
  const auto sent = client.bytes_sent();
  Numbers four(4);
  const auto refused = [&](const ServerRows& rows, ConstServerSpan values) {
    return message_of<ConfigError>([&] { client.push(values, rows); });
  };
  using List = std::vector<int64_t>;
  for (const List& rows : {List{2, 1}, List{1, 1}, List{-1, 0}, List{0, 4}, List{0, INT64_MAX}}) {
    EXPECT_TRUE(says(refused(rows, four), {"rows = "}));
  }
  EXPECT_TRUE(says(refused({3, 2}, four), {"2 from 3", "4 rows"}));
  EXPECT_TRUE(says(refused({-1, 2}, four), {"rows = "}));
  EXPECT_TRUE(says(refused({}, four), {"values", "8 numbers of 8 bytes"}));
  EXPECT_TRUE(says(refused({0, 2}, std::vector<float>(4)), {"4 numbers of 4 bytes"}));
  EXPECT_EQ(client.bytes_sent(), sent);
  client.pull(four, {0, 2});
}

TEST(ParameterServers, that_are_given_in_another_order_are_refused) {
  Servers servers(2, {.workers = 1, .rows = 4, .token = "t"}, Numbers(4));
  auto addresses = servers.addresses();
  std::swap(addresses[0], addresses[1]);
  const auto message =
      message_of<DistributedError>([&] { ParameterClient client(addresses, 0, "t"); });
  EXPECT_TRUE(says(message, {"is number 1 of 2", "should be number 0 of 2"})) << message;
}

TEST(ParameterServers, have_addresses_that_can_be_sent_as_text) {
  const ServerAddress address{.host = "::1", .port = 1234};
  EXPECT_EQ(ServerAddress::parse(address.text()), address);
  for (const char* text : {"", "host", ":1", "host:", "host:0", "host:65536", "host:1x"}) {
    EXPECT_THROW(ServerAddress::parse(text), DistributedError) << text;
  }
}

TEST(ParameterServers, name_the_one_that_has_gone_even_while_a_worker_waits_for_another) {
  Servers servers(3, {.workers = 2, .rows = 3, .token = "t"}, Numbers(3));
  ParameterClient waiting(servers.addresses(), 0, "t");
  ParameterClient other(servers.addresses(), 1, "t");
  Numbers w(3);
  waiting.push(w);
  std::string message;
  std::thread thread([&] { message = message_of<DistributedError>([&] { waiting.pull(w); }); });
  servers.stop(2);
  thread.join();
  EXPECT_TRUE(says(message, {"parameter server 2"})) << message;
  message = message_of<DistributedError>([&] { other.push(w); });
  EXPECT_TRUE(says(message, {"parameter server 2"})) << message;
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
