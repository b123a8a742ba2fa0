#include <gtest/gtest.h>
#include <levin/framework/core/error.h>
#include <levin/framework/parameter_server/parameter_server.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "framework/message_of.h"

namespace levin::parameter_server_test {
namespace {

using test::message_of;
using test::says;
using Numbers = std::vector<double>;

/// Adds what is pushed to the values.
void add(std::span<double> values, std::span<const ServerGradient> gradients) {
  for (const auto& gradient : gradients) {
    if (gradient.rows.empty()) {
      for (size_t i = 0; i < values.size(); ++i) values[i] += gradient.values[i];
      continue;
    }
    const size_t width = gradient.values.size() / gradient.rows.size();
    for (size_t i = 0; i < gradient.values.size(); ++i) {
      values[static_cast<size_t>(gradient.rows[i / width]) * width + i % width] +=
          gradient.values[i];
    }
  }
}

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
  ParameterServer server({.workers = kWorkers, .rows = 5, .token = "secret"}, Numbers(5), add);
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
        Numbers(kWorkers), add);
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
                         add);
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
      Numbers(12), add);
  ParameterClient client(server.port(), 0, "t");
  const std::vector<int64_t> rows = {1, 4}, none;
  const Numbers values = {1.0, 2.0, 3.0, 4.0};
  client.push(values, rows);
  client.push({}, none);
  Numbers some(4), all(12);
  client.pull(some, std::vector<int64_t>{0, 4});
  EXPECT_EQ(some, (Numbers{0.0, 0.0, 3.0, 4.0}));
  client.pull(all);
  EXPECT_EQ(all, (Numbers{0, 0, 1, 2, 0, 0, 0, 0, 3, 4, 0, 0}));
}

/// A connection that sends any bytes.
class Stranger {
 public:
  explicit Stranger(uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    EXPECT_EQ(::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  void send(std::string_view bytes) { send_all(socket_, bytes.data(), bytes.size()); }
  void send(const ServerRequest& request) { send_all(socket_, &request, sizeof(request)); }
  /// Waits until the server has closed the connection; whether it sent nothing before.
  bool is_refused() {
    ::shutdown(socket_.get(), SHUT_WR);
    char byte = 0;
    return !receive_all(socket_, &byte, 1);
  }
  /// Joins as a worker.
  void join(int64_t worker, std::string_view token) {
    send({.worker = worker, .count = static_cast<int64_t>(token.size())});
    send(token);
    ServerStatus status = -1;
    EXPECT_TRUE(receive_all(socket_, &status, sizeof(status)));
    EXPECT_EQ(status, 0);
  }

 private:
  Descriptor socket_;
};

TEST(ParameterServer, a_worker_that_dies_while_it_pushes_is_named_and_adds_nothing) {
  for (const int64_t staleness : {int64_t{0}, ServerClock::kUnbounded}) {
    ParameterServer server({.workers = 2, .staleness = staleness, .rows = 100, .token = "secret"},
                           Numbers(100), add);
    ParameterClient alive(server.port(), 0, "secret");
    {
      Stranger dying(server.port());
      dying.join(1, "secret");
      dying.send(
          {.kind = ServerRequest::Kind::push, .worker = 1, .count = ServerRequest::kAllRows});
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
  ParameterServer server({.workers = 2, .rows = 1, .token = "secret"}, Numbers(1), add);
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

TEST(ParameterServer, heads_that_ask_for_too_much_are_refused_before_they_are_read_on) {
  using Kind = ServerRequest::Kind;
  const auto accepts = [](Kind kind, int64_t count, bool is_known) {
    return is_valid({.kind = kind, .worker = 1, .count = count}, 2, 10, is_known);
  };
  EXPECT_TRUE(accepts(Kind::hello, 64, false));
  EXPECT_FALSE(accepts(Kind::hello, 65, false));
  EXPECT_FALSE(accepts(Kind::hello, 6, true)) << "a second hello";
  for (const Kind kind : {Kind::push, Kind::pull}) {
    EXPECT_TRUE(accepts(kind, 10, true));
    EXPECT_TRUE(accepts(kind, ServerRequest::kAllRows, true));
    EXPECT_FALSE(accepts(kind, 10, false)) << "before the hello";
    for (const int64_t count : {int64_t{11}, int64_t{-2}, INT64_MAX, INT64_MIN}) {
      EXPECT_FALSE(accepts(kind, count, true)) << count;
    }
  }
  EXPECT_FALSE(is_valid({.worker = 2, .count = 1}, 2, 10, false));
  EXPECT_FALSE(is_valid({.magic = 1, .worker = 1, .count = 1}, 2, 10, false));
}

TEST(ParameterServer, random_and_changed_bytes_do_no_harm) {
  ParameterServer server({.workers = 1, .rows = 4, .token = "secret"}, Numbers(4), add);
  std::mt19937 random(7);
  const ServerRequest hello{.count = 6};
  std::string good(sizeof(hello), '\0');
  std::memcpy(good.data(), &hello, sizeof(hello));
  good += "Secret";  // never the right token, even if it is unchanged
  for (int turn = 0; turn < 300; ++turn) {
    std::string bytes = good;
    if (turn % 3 == 0) {
      bytes.assign(random() % 200, '\0');
      for (char& byte : bytes) byte = static_cast<char>(random());
    } else {
      for (int i = 0; i < 3; ++i) bytes[random() % sizeof(hello)] = static_cast<char>(random());
    }
    Stranger stranger(server.port());
    stranger.send(bytes);
    ASSERT_TRUE(stranger.is_refused()) << turn;
  }
  EXPECT_FALSE(server.failed_worker());
  ParameterClient client(server.port(), 0, "secret");
  Numbers w(4);
  client.push(Numbers(4, 1.0));
  client.pull(w);
  EXPECT_EQ(w, Numbers(4, 1.0));
}

TEST(ParameterServer, a_worker_that_sends_rows_that_do_not_ascend_has_failed) {
  for (const std::vector<int64_t>& rows :
       {std::vector<int64_t>{2, 1}, {1, 1}, {-1, 0}, {0, 4}, {0, INT64_MAX}}) {
    ParameterServer server({.workers = 1, .rows = 4, .token = "secret"}, Numbers(4), add);
    ParameterClient client(server.port(), 0, "secret");
    EXPECT_THROW(client.push(Numbers(2, 1.0), rows), DistributedError);
    EXPECT_EQ(server.values(), Numbers(4));
  }
}

}  // namespace
}  // namespace levin::parameter_server_test
