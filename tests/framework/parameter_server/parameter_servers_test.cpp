#include <gtest/gtest.h>
#include <levin/framework/core/error.h>
#include <levin/framework/parameter_server/parameter_server.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "framework/eventually.h"
#include "framework/message_of.h"
#include "framework/parameter_server/server_stranger.h"

namespace levin::parameter_servers_test {
namespace {

using test::adding;
using test::eventually;
using test::message_of;
using test::Numbers;
using test::says;
using test::Stranger;

/// The servers of a table whose rows they divide evenly.
class Servers {
 public:
  /// `apply_first`: how the first server applies gradients, if not as the others, which add them.
  template <class T>
  Servers(int64_t servers, ParameterServerOptions options, const std::vector<T>& values,
          const ServerTable::Apply& apply_first = nullptr) {
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
      const auto apply = i == 0 && apply_first ? apply_first : adding(own.width);
      servers_.push_back(std::make_unique<ParameterServer>(own, part, apply));
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

TEST(ParameterServers, take_any_number_of_gradients_from_workers_that_pull_nothing_meanwhile) {
  for (const int64_t staleness : {int64_t{0}, int64_t{1}, ServerClock::kUnbounded}) {
    Servers servers(3, {.workers = 2, .staleness = staleness, .rows = 5, .token = "t"}, Numbers(5));
    std::vector<std::thread> threads;
    for (int64_t worker = 0; worker < 2; ++worker) {
      threads.emplace_back([&, worker] {
        ParameterClient client(servers.addresses(), worker, "t");
        for (int i = 0; i < 10; ++i) client.push(Numbers(5, 1.0));
        Numbers w(5);
        const auto answer = client.pull(w);
        EXPECT_EQ(answer.slowest + answer.fastest, w.front()) << "staleness " << staleness;
        if (staleness == 0) {
          EXPECT_EQ(w, Numbers(5, 20.0));
        }
      });
    }
    for (auto& thread : threads) thread.join();
  }
}

TEST(ParameterServers, never_wait_for_a_first_server_that_is_slow_to_apply) {
  for (const int64_t staleness : {int64_t{0}, ServerClock::kUnbounded}) {
    std::atomic<bool> may_apply = false;
    std::atomic<int> pushed = 0;
    Servers servers(2, {.workers = 1, .staleness = staleness, .rows = 2, .token = "t"}, Numbers(2),
                    [&](ServerSpan values, std::span<const ServerGradient> gradients) {
                      may_apply.wait(false);
                      adding()(values, gradients);
                    });
    std::thread worker([&] {
      try {
        ParameterClient client(servers.addresses(), 0, "t");
        for (; pushed < 10; ++pushed) client.push(Numbers(2, 1.0));
        Numbers w(2);
        client.pull(w);
        EXPECT_EQ(w, Numbers(2, 10.0));
      } catch (const DistributedError& error) {
        ADD_FAILURE() << "after " << pushed << " pushes: " << error.what();
      }
    });
    // One that the first server applies, and two that wait there: the client knows of none that
    // counts when it sends the next one.
    EXPECT_TRUE(eventually([&] { return pushed == 3; }));
    may_apply = true;
    may_apply.notify_all();
    if (!eventually([&] { return pushed == 10; })) servers.stop(1);
    worker.join();
  }
}

TEST(ParameterServers, end_with_every_gradient_whatever_takes_long_and_whoever_pulls) {
  std::mt19937 random(5);
  const auto up_to = [&](int most) {
    return static_cast<int>(random() % static_cast<unsigned>(most + 1));
  };
  constexpr int64_t kStaleness[] = {0, 1, 3, ServerClock::kUnbounded};
  for (int turn = 0; turn < 48; ++turn) {
    const int64_t staleness = kStaleness[turn % 4];
    const int64_t count = 2 + up_to(1), workers = 1 + up_to(3);
    const auto slow = std::chrono::microseconds(turn % 3 == 0 ? 0 : 100 * up_to(5));
    SCOPED_TRACE(std::to_string(count) + " servers, " + std::to_string(workers) +
                 " workers, staleness " + std::to_string(staleness));
    Servers servers(count, {.workers = workers, .staleness = staleness, .rows = 3, .token = "t"},
                    Numbers(3), [&](ServerSpan values, std::span<const ServerGradient> gradients) {
                      std::this_thread::sleep_for(slow);
                      adding()(values, gradients);
                    });
    std::vector<std::thread> threads;
    int pushed = 0;
    for (int64_t worker = 0; worker < workers; ++worker) {
      const int pushes = up_to(12), pull_after = 1 + up_to(5);
      pushed += pushes;
      threads.emplace_back([&, worker, pushes, pull_after] {
        ParameterClient client(servers.addresses(), worker, "t");
        Numbers w(3);
        for (int i = 1; i <= pushes; ++i) {
          client.push(Numbers(3, 1.0));
          if (i % pull_after != 0) continue;
          client.pull(w);
          EXPECT_GE(w.front(), i) << "its own gradients are missing";
        }
      });
    }
    for (auto& thread : threads) thread.join();
    for (int64_t i = 0; i < count; ++i) {
      auto& server = servers[static_cast<size_t>(i)];
      EXPECT_TRUE(eventually([&] { return server.values().front() == pushed; })) << "server " << i;
    }
  }
}

TEST(ParameterServers, have_the_gradients_of_a_worker_that_left_before_the_last_one_was_lost) {
  Servers servers(2,
                  {.workers = 2,
                   .staleness = ServerClock::kUnbounded,
                   .rows = 2,
                   .token = "t",
                   .on_lost_worker = ParameterServerOptions::OnLostWorker::leave_out},
                  Numbers(2));
  {
    Stranger first(servers[0].port()), second(servers[1].port());
    first.join(1, "t");
    second.join(1, "t");
    ParameterClient client(servers.addresses(), 0, "t");
    for (int i = 0; i < 3; ++i) client.push(Numbers(2, 1.0));
    client.leave();
  }
  for (const size_t i : {size_t{0}, size_t{1}}) {
    EXPECT_TRUE(eventually([&] { return servers[i].values().front() == 3.0; })) << "server " << i;
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
  EXPECT_EQ(message_of<DistributedError>([&] { waiting.push(w); }), message) << "ever after";
  message = message_of<DistributedError>([&] { other.push(w); });
  EXPECT_TRUE(says(message, {"parameter server 2"})) << message;
}

}  // namespace
}  // namespace levin::parameter_servers_test
